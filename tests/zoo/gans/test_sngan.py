"""Every layer of the discriminator has spectral norm 1, and learns at its own rate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import nn

from datamodules import Digits
from zoo.gans.sngan import SNGAN, SNDiscriminator, SNGenerator

Fit = Callable[..., Trainer]


@pytest.mark.parametrize(("architecture", "num_layers"), [("mlp", 3), ("conv", 3), ("standard", 4)])
def test_every_layer_keeps_spectral_norm_one(fit: Fit, architecture: Any, num_layers: int) -> None:
    """By singular values; those of the learned weights differ from 1."""
    system = SNGAN((1, 8, 8), architecture, widths=(8, 16), lr=2e-4)
    fit(system, Digits(normalize=False, batch_size=64), max_epochs=5)
    system.eval()
    layers = [m for m in system.discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == num_layers
    learned = [layer.parametrizations.weight.original.flatten(1) for layer in layers]  # type: ignore[union-attr]
    assert any(abs(torch.linalg.matrix_norm(weight, ord=2).item() - 1) > 0.05 for weight in learned)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)


def test_the_standard_networks_are_those_of_the_papers_table() -> None:
    """Table 3 for CIFAR-10: seven convolutions and a dense layer; from 4x4 maps to 32x32 images."""
    widths = (64, 128, 256, 512)
    convolutions = [m for m in SNDiscriminator((3, 32, 32), widths).modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in convolutions] == [
        *((3, 64, 3, 1), (64, 64, 4, 2), (64, 128, 3, 1), (128, 128, 4, 2)),
        *((128, 256, 3, 1), (256, 256, 4, 2), (256, 512, 3, 1)),
    ]
    generator = SNGenerator(128, (3, 32, 32), widths)
    assert [m.out_channels for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)] == [256, 128, 64]
    images = generator(torch.randn(2, 128))
    assert images.shape == (2, 3, 32, 32)
    assert SNDiscriminator((3, 32, 32), widths)(images).shape == (2,)
    with pytest.raises(ValueError, match="halved 3 times, so that sides must be multiples of 8 pixels, got 28x28"):
        SNGAN((1, 28, 28), "standard", widths=widths)


def test_the_discriminator_learns_faster_by_default() -> None:
    assert SNGAN((2,), "mlp", lr=1e-4).d_lr == pytest.approx(4e-4)
    assert SNGAN((2,), "mlp", lr=1e-4, d_lr=1e-4).d_lr == 1e-4
