"""Random boxes in images, for Cutout, random erasing and CutMix.

Shapes: B batch, H height, W width. Edges and sides are (B,) in pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Boxes(NamedTuple):
    """One box for each image: rows from `top` to below `bottom`, columns from `left` to below `right`."""

    top: Tensor  # (B,)
    bottom: Tensor  # (B,)
    left: Tensor  # (B,)
    right: Tensor  # (B,)

    def area(self) -> Tensor:
        """Return the number of pixels in each box: (B,)."""
        return (self.bottom - self.top) * (self.right - self.left)

    def mask(self, height: int, width: int) -> Tensor:
        """Return whether each pixel lies in its image's box: (B, 1, H, W) bool."""
        row, column = (torch.arange(size, device=self.top.device) for size in (height, width))
        rows = (row >= self.top[:, None]) & (row < self.bottom[:, None])
        columns = (column >= self.left[:, None]) & (column < self.right[:, None])
        return (rows[:, :, None] & columns[:, None, :])[:, None]


def centred_boxes(draws: Tensor, box_height: Tensor, box_width: Tensor, height: int, width: int) -> Boxes:
    """Place boxes around random pixels, by uniform draws (B, 2) in [0, 1). What lies outside the image is cut off."""
    top = (draws[:, 0] * height).long() - box_height // 2
    left = (draws[:, 1] * width).long() - box_width // 2
    bottom, right = top + box_height, left + box_width
    return Boxes(top.clamp(min=0), bottom.clamp(max=height), left.clamp(min=0), right.clamp(max=width))


def inner_boxes(draws: Tensor, largest: float, height: int, width: int) -> Boxes:
    """Draw boxes within the image, by uniform draws (B, 4) in [0, 1).

    The area is uniform between 2 % and `largest` of the image, and the aspect ratio between 3:10 and 10:3 on a logarithmic
    scale (Zhong et al., 2020, arXiv:1708.04896). Sides that are longer than the image are cut to its side.
    """
    area = (0.02 + (largest - 0.02) * draws[:, 0]) * height * width
    ratio = (10 / 3) ** (2 * draws[:, 1] - 1)
    box_height = (area * ratio).sqrt().round().long().clamp(1, height)
    box_width = (area / ratio).sqrt().round().long().clamp(1, width)
    top = (draws[:, 2] * (height - box_height + 1)).long()
    left = (draws[:, 3] * (width - box_width + 1)).long()
    return Boxes(top, top + box_height, left, left + box_width)
