"""MNIST on coloured grounds, made as MNIST-M was (Ganin et al., 2016, arXiv:1505.07818), but with made-up grounds."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.core.base import Arrays
from datamodules.core.randomness import uniform
from datamodules.images.hub_set import HubSet

_GRID = 3  # colours a side of a ground, between which it fades


class ColourMNIST(HubSet):
    """Each digit's pixels are the difference |ground - digit|; the ground, a fade between random colours, is its place's own.

    MNIST-M has cuttings of photographs there. See `HubSet` for the arguments.
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
        start = 0 if part == "train" else 60_000  # another ground for each of all
        places = torch.arange(start, start + len(digits.y))
        parts = (places[row : row + 1000] for row in range(0, len(places), 1000))
        return Arrays(torch.cat([blend(digits.x[part - start], part) for part in parts]), digits.y)


def blend(digits: Tensor, position: Tensor) -> Tensor:
    """Digits (N, C, H, W) uint8 on the grounds of their places (N,): (N, 3, H, W) uint8."""
    colours = uniform(position, seed=0, epoch=0, num_draws=3 * _GRID**2).view(-1, 3, _GRID, _GRID)
    grounds = F.interpolate(colours, tuple(digits.shape[2:]), mode="bilinear", align_corners=True)
    return (255 * (grounds - digits.float() / 255).abs()).round().to(torch.uint8)
