"""The discriminator sees how similar a batch is."""

import pytest
import torch

from zoo.gans.minibatch_gan import MinibatchDiscrimination, MinibatchGAN


def test_closeness_is_counted_over_all_pairs() -> None:
    torch.manual_seed(0)
    layer, x = MinibatchDiscrimination(6, 4, 3), torch.randn(5, 6)
    out = layer(x)
    assert torch.equal(out[:, :6], x)
    kernels = layer.to_kernels(x).view(5, 4, 3)
    for sample in range(5):
        for kernel in range(4):
            others = (o for o in range(5) if o != sample)
            closeness = sum(torch.exp(-(kernels[sample, kernel] - kernels[o, kernel]).abs().sum()).item() for o in others)
            assert out[sample, 6 + kernel].item() == pytest.approx(closeness, rel=1e-4)


def test_a_collapsed_batch_is_as_close_as_can_be() -> None:
    layer = MinibatchDiscrimination(6, 4, 3)
    assert torch.equal(layer(torch.ones(7, 6))[:, 6:], torch.full((7, 4), 6.0))


def test_the_discriminator_sees_the_batch() -> None:
    system = MinibatchGAN((2,), "mlp", widths=(8,), num_kernels=3, kernel_dim=2)
    x = torch.randn(4, 2)
    alone, beside = system.discriminator(x[:1]), system.discriminator(x)[:1]
    assert not torch.allclose(alone, beside)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="num_kernels and kernel_dim must be at least 1, got 0 and 8"):
        MinibatchGAN((2,), "mlp", num_kernels=0)
    with pytest.raises(ValueError, match="redraw false keeps the graph of a whole batch"):
        MinibatchGAN((2,), "mlp", redraw=False, accumulate=2)
