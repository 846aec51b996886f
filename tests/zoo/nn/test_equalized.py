"""Scales, norms and deviations equal values by hand."""

import pytest
import torch

from zoo.nn.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm


def test_layers_keep_the_variance_of_their_input() -> None:
    torch.manual_seed(0)
    assert EqualizedLinear(400, 300, gain=1.0)(torch.randn(500, 400)).std().item() == pytest.approx(1, rel=0.05)
    assert EqualizedConv2d(64, 64, 3, gain=1.0)(torch.randn(4, 64, 16, 16))[:, :, 1:-1, 1:-1].std().item() == pytest.approx(
        1, rel=0.05
    )


def test_weights_are_stored_at_unit_scale() -> None:
    """Adam's steps are then equally large relative to the weights in wide and in narrow layers."""
    torch.manual_seed(0)
    for layer in (EqualizedLinear(1000, 50), EqualizedConv2d(32, 32, 3)):
        assert layer.weight.std().item() == pytest.approx(1, rel=0.05)
    slow = EqualizedLinear(1000, 50, gain=1.0, bias=1.0, lr_scale=0.01)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.05)
    assert slow(torch.zeros(1, 1000)).mean().item() == pytest.approx(1)
    assert slow(torch.randn(200, 1000)).std().item() == pytest.approx(1, rel=0.05)


def test_pixel_norm_gives_unit_mean_square() -> None:
    x = PixelNorm()(5 * torch.randn(2, 8, 3, 3) + 1)
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 3, 3))


def test_the_minibatch_deviation_is_computed_for_each_group() -> None:
    """8 samples form the groups 0, 2, 4, 6 and 1, 3, 5, 7."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 2, 2)
    out = MinibatchStd(4)(x)
    assert torch.equal(out[:, :3], x)
    for start in (0, 1):
        std = x[start::2].std(0, correction=0).mean()
        torch.testing.assert_close(out[start::2, 3], std.expand(4, 2, 2))


def test_equal_images_have_no_deviation_and_any_batch_size_works() -> None:
    assert MinibatchStd()(torch.ones(4, 1, 2, 2))[:, 1].max() < 1e-3
    assert MinibatchStd()(torch.randn(7, 1, 2, 2)).shape == (7, 2, 2, 2)
    assert MinibatchStd()(torch.randn(1, 1, 2, 2))[:, 1].max() < 1e-3
