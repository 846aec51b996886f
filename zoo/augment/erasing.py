"""Cutout (DeVries & Taylor, 2017, arXiv:1708.04552) and random erasing (Zhong et al., 2020, arXiv:1708.04896).

Erased pixels become 0. In normalised images this is the mean pixel of the training images.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor

from zoo.augment.boxes import centred_boxes, inner_boxes


def cutout(x: Tensor, draws: Tensor, side: int) -> Tensor:
    """Erase a square around a random pixel of each image (B, C, H, W), by uniform draws (B, 2) in [0, 1).

    The part of the square outside the image is cut off, so that all pixels are erased equally often.
    """
    sides = torch.full((len(x),), side, device=x.device)
    return x.masked_fill(centred_boxes(draws, sides, sides, *x.shape[-2:]).mask(*x.shape[-2:]), 0)


def random_erasing(x: Tensor, draws: Tensor, p: float, largest: float) -> Tensor:
    """Erase a random box of each image (B, C, H, W) with probability `p`, by uniform draws (B, 5) in [0, 1).

    `largest` is the largest area of a box, as a share of the image; see `inner_boxes`.
    """
    mask = inner_boxes(draws[:, 1:], largest, *x.shape[-2:]).mask(*x.shape[-2:])
    return x.masked_fill(mask & (draws[:, 0] < p)[:, None, None, None], 0)
