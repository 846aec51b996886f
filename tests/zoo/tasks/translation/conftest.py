"""Fixtures: digits and their negatives as two domains, and a small CycleGAN."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from datamodules import Digits
from datamodules.core.base import Arrays
from datamodules.images.unpaired_images import Domain, Part, Unpaired
from zoo.gans.cyclegan import CycleGAN


class Negatives(Unpaired):
    """Digits of scikit-learn as domain A, negatives of other digits as domain B."""

    def __init__(self, batch_size: int = 50) -> None:
        super().__init__((1, 8, 8), flip=False, batch_size=batch_size, val_fraction=0.1, seed=0, split_seed=0)

    def domain(self, name: Domain, part: Part) -> Arrays:
        x, y, _ = Digits(normalize=False).load("train")
        of_domain = torch.arange(len(y)) % 2 == (name == "B")
        x, y = (255 - x[of_domain] if name == "B" else x[of_domain]), y[of_domain]
        return Arrays(x[:700], y[:700]) if part == "train" else Arrays(x[700:], y[700:])


@pytest.fixture
def negatives() -> type[Negatives]:
    return Negatives


@pytest.fixture
def cycle() -> Callable[..., CycleGAN]:
    def build(**arguments: Any) -> CycleGAN:
        return CycleGAN((1, 8, 8), width=4, num_halvings=1, num_blocks=1, d_widths=[4, 4], **arguments)

    return build
