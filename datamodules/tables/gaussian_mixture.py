"""Gaussians in the plane, on a ring or a grid: a test of whether a generator covers all modes."""

from typing import Literal, get_args

import torch

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch
from zoo.errors import ZooError, check_choice

Layout = Literal["ring", "grid"]


class GaussianMixture(DataModule):
    """Points from equal Gaussians, the synthetic sets of Metz et al. (2017, arXiv:1611.02163) and Srivastava et al. (2017).

    Centres lie on a ring of radius 2, or on a square grid around the origin with distance 2. y is the number of the Gaussian.

    Args:
        layout: arrangement of the centres.
        num_modes: number of Gaussians; a square number for a grid.
        spread: standard deviation in each direction.
        num_samples: number of points; 10 % are held out for validation, 20 % for the test.

    Raises:
        ZooError: for an unknown layout, or a number that is out of its range.
    """

    input_shape = (2,)
    centres: torch.Tensor
    spread: float

    def __init__(
        self,
        layout: Layout = "ring",
        num_modes: int = 8,
        spread: float = 0.02,
        num_samples: int = 50_000,
        batch_size: int = 256,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=0.125, test_fraction=0.2, seed=seed, split_seed=split_seed)
        check_choice("layout", layout, get_args(Layout))
        side = round(num_modes**0.5)
        if num_modes < 1 or (layout == "grid" and side**2 != num_modes):
            raise ZooError(f"num_modes must be at least 1, and a square number for a grid, got {num_modes}")
        if not spread > 0:
            raise ZooError(f"spread must be positive, got {spread}")
        if num_samples < 10 * num_modes:
            raise ZooError(f"num_samples must be at least ten for each of the {num_modes} modes, got {num_samples}")
        self.spread, self.num_samples, self.num_classes = spread, num_samples, num_modes
        self.class_names = tuple(map(str, range(num_modes)))
        if layout == "ring":
            angles = torch.arange(num_modes) * (2 * torch.pi / num_modes)
            self.centres = 2 * torch.stack([angles.cos(), angles.sin()], dim=1)  # (K, 2)
        else:
            line = 2.0 * torch.arange(side) - (side - 1)
            self.centres = torch.cartesian_prod(line, line)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(self.num_samples) % len(self.centres)
        return Arrays(self.centres[y] + self.spread * torch.randn(self.num_samples, 2, generator=generator), y)

    def transform(self, batch: Batch, epoch: int, train: bool) -> Batch:
        return batch
