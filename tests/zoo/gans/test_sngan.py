"""Every layer of the discriminator has spectral norm 1, and learns at its own rate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import nn

from datamodules import Digits
from zoo.gans.sngan import SNGAN

Fit = Callable[..., Trainer]


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_every_layer_keeps_spectral_norm_one(fit: Fit, architecture: Any) -> None:
    """By singular values; those of the learned weights differ from 1."""
    system = SNGAN((1, 8, 8), architecture, widths=(8, 16), lr=2e-4)
    fit(system, Digits(normalize=False, batch_size=64), max_epochs=5)
    system.eval()
    layers = [m for m in system.discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    learned = [layer.parametrizations.weight.original.flatten(1) for layer in layers]  # type: ignore[union-attr]
    assert any(abs(torch.linalg.matrix_norm(weight, ord=2).item() - 1) > 0.05 for weight in learned)
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)


def test_the_discriminator_learns_faster_by_default() -> None:
    assert SNGAN((2,), "mlp", lr=1e-4).d_lr == pytest.approx(4e-4)
    assert SNGAN((2,), "mlp", lr=1e-4, d_lr=1e-4).d_lr == 1e-4
