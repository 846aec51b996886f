"""Affine transforms of images, with one matrix per image.

Matrices (B, 2, 3) map the pixels of the result to those of the source, in pixels from the centre of the image.

Shapes: B batch, C channels, H height, W width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Interpolation = Literal["nearest", "bilinear"]


def rotations(degrees: Tensor) -> Tensor:
    """Return matrices (B, 2, 3) that rotate by these angles (B,), counter-clockwise."""
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)


def warp(x: Tensor, matrices: Tensor, interpolation: Interpolation) -> Tensor:
    """Transform images (B, C, H, W), uint8 or float, by matrices (B, 2, 3). Pixels from outside the image are 0."""
    height, width = x.shape[-2:]
    down, right = (torch.arange(size, device=x.device) - (size - 1) / 2 for size in (height, width))
    place = torch.stack([right.expand(height, -1), down[:, None].expand(-1, width), torch.ones_like(x[0, 0], dtype=down.dtype)])
    half = torch.tensor([width / 2, height / 2], device=x.device)
    grid = place.flatten(1).T.expand(len(x), -1, -1) @ (matrices.mT / half)
    grid = grid.view(-1, height, width, 2)
    moved = F.grid_sample(x.float(), grid, mode=interpolation, padding_mode="zeros", align_corners=False)
    return moved if x.is_floating_point() else moved.round().to(x.dtype)
