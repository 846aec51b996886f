"""The critic's weights are bounded."""

from collections.abc import Callable

import pytest
from lightning import Trainer

from datamodules import Digits
from zoo.gans.wgan import WGAN

Fit = Callable[..., Trainer]


def test_a_critics_weights_stay_within_the_clip(fit: Fit) -> None:
    system = WGAN((1, 8, 8), widths=(8, 8), weight_clip=0.03)
    fit(system, Digits(normalize=False, batch_size=100), max_steps=3)
    largest = max(p.abs().max().item() for p in system.discriminator.parameters())
    assert largest == pytest.approx(0.03)


def test_a_clip_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight_clip must be positive, got -0\.1"):
        WGAN((1, 8, 8), weight_clip=-0.1)
