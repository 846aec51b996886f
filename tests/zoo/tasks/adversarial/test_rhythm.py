"""Batches are split evenly, and invalid settings are refused."""

from typing import Any

import pytest
import torch

from datamodules.core.batch import Batch
from zoo.gans.gan import GAN
from zoo.tasks.adversarial.rhythm import split


def test_a_short_batch_is_split_as_evenly_as_possible() -> None:
    x = torch.arange(7)
    batch = Batch(x, x, x)
    assert [part.x.tolist() for part in split(batch, 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [part.x.tolist() for part in split(batch, 9)] == [[i] for i in range(7)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_critic": 0}, "n_critic must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"ema": 1.0}, r"ema must lie in \[0, 1\), got 1.0"),
        ({"d_lr": 0.0}, "d_lr must be positive, got 0.0"),
        ({"clip": -0.1}, "clip must be positive, got -0.1"),
        ({"optim": {"name": "adam", "schedule": "plateau"}}, "schedule 'plateau' waits for a loss to stop falling, but"),
    ],
)
def test_invalid_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GAN((2,), latent_dim=3, widths=[8], **arguments)
