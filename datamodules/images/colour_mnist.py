"""MNIST on coloured backgrounds, like MNIST-M (Ganin et al., 2016, arXiv:1505.07818), but with synthetic backgrounds."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.core.base import Arrays
from datamodules.core.randomness import uniform
from datamodules.images.hub_set import HubSet

_GRID = 3  # colours per side of a background, which are interpolated


class ColourMNIST(HubSet):
    """Digits as the difference |background - digit|. Each background interpolates random colours of its position.

    MNIST-M uses crops of photographs as backgrounds. See `HubSet` for the arguments.
    """

    repo = "ylecun/mnist"
    folder = "mnist"
    has_mirror_twins = False
    input_shape = (3, 28, 28)
    num_classes = 10
    class_names = tuple("0123456789")
    mean = (0.4762, 0.4760, 0.4759)
    std = (0.2068, 0.2070, 0.2073)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        digits = super().load(part)
        start = 0 if part == "train" else 60_000  # Test images have other backgrounds than training images.
        places = torch.arange(start, start + len(digits.y))
        parts = (places[row : row + 1000] for row in range(0, len(places), 1000))
        return Arrays(torch.cat([blend(digits.x[part - start], part) for part in parts]), digits.y)


def blend(digits: Tensor, position: Tensor) -> Tensor:
    """Blend digits (N, C, H, W) uint8 with the backgrounds of their positions (N,): (N, 3, H, W) uint8."""
    colours = uniform(position, seed=0, epoch=0, num_draws=3 * _GRID**2).view(-1, 3, _GRID, _GRID)
    grounds = F.interpolate(colours, tuple(digits.shape[2:]), mode="bilinear", align_corners=True)
    return (255 * (grounds - digits.float() / 255).abs()).round().to(torch.uint8)
