"""Micro-batches change batch norm and nothing else."""

import torch
from torch import nn

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["small_batches"])


def test_parts_are_normalised_as_gradient_accumulation_does() -> None:
    """Reading the parts one after the other gives the same outputs, the same gradients and the same running statistics."""
    torch.manual_seed(0)
    x, direction = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    micro, plain = module.MicroBatchNorm(3, batch_size=2), nn.BatchNorm2d(3)
    outputs = micro(x)
    (outputs * direction).sum().backward()
    for rows in torch.arange(6).split(2):
        part = plain(x[rows])
        assert torch.allclose(outputs[rows], part, atol=1e-6)
        (part * direction[rows]).sum().backward()
    assert torch.allclose(micro.weight.grad, plain.weight.grad, atol=1e-5)
    assert torch.allclose(micro.running_var, plain.running_var)
    assert torch.allclose(micro.eval()(x), plain.eval()(x))


def test_the_control_is_batch_norm_over_the_whole_batch() -> None:
    x = torch.randn(module.UPDATE, 3, 2, 2)
    assert torch.allclose(module.MicroBatchNorm(3, module.UPDATE)(x), nn.BatchNorm2d(3)(x), atol=1e-6)


def test_the_other_norms_do_not_see_the_batch() -> None:
    x = torch.randn(8, 16, 4, 4)
    for name, build in module.norms(2).items():
        alone = torch.cat([build(16)(part) for part in x.split(2)])
        assert torch.allclose(build(16)(x), alone, atol=1e-6), name


def test_layer_norm_is_over_all_channels_and_pixels_of_an_image() -> None:
    x = torch.randn(4, 8, 3, 3)
    assert torch.allclose(module.norms(2)["layer norm"](8)(x), nn.LayerNorm(x.shape[1:])(x), atol=1e-6)
