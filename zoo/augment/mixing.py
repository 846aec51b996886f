"""Mixup (Zhang et al., 2018, arXiv:1710.09412) and CutMix (Yun et al., 2019, arXiv:1905.04899).

Each image is mixed with its partner, the image before it in the batch. The first image's partner is the last one. The partner
depends on the batch; everything else is drawn for each image.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.augment.boxes import centred_boxes

_NUM_QUANTILES = 4096


def symmetric_beta(draw: Tensor, alpha: float) -> Tensor:
    """Convert uniform draws in [0, 1) to draws of Beta(alpha, alpha), by the inverse of its distribution function."""
    values, probability = (table.to(draw.device) for table in _quantiles(alpha))
    lower = torch.minimum(draw, 1 - draw)
    after = torch.searchsorted(probability, lower.contiguous()).clamp(1, _NUM_QUANTILES)
    low, high = probability[after - 1], probability[after]
    share = (lower - low) / (high - low)
    x = torch.lerp(values[after - 1], values[after], share) ** (1 / min(alpha, 1))
    return torch.where(draw < 0.5, x, 1 - x)


def mixup_weights(draw: Tensor, alpha: float) -> Tensor:
    """Draw the weight of each image against its partner from Beta(alpha, alpha): uniform draws (B,) to (B, 1, 1, 1)."""
    return symmetric_beta(draw, alpha)[:, None, None, None]


def cutmix_weights(draws: Tensor, alpha: float, height: int, width: int) -> Tensor:
    """Return 0 in a box that shows the partner and 1 elsewhere: uniform draws (B, 3) in [0, 1) to (B, 1, H, W).

    The box has the image's aspect ratio, a random centre, and an area of 1 - Beta(alpha, alpha) of the image before the part
    outside the image is cut off.
    """
    side = (1 - symmetric_beta(draws[:, 0], alpha)).sqrt()
    boxes = centred_boxes(draws[:, 1:], (side * height).long(), (side * width).long(), height, width)
    return (~boxes.mask(height, width)).float()


def mix(x: Tensor, y: Tensor, weights: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mix images with their partners, and their classes in proportion.

    Args:
        x: (B, C, H, W) float.
        y: (B,) classes.
        weights: (B, 1, 1, 1) or (B, 1, H, W), of each pixel against the partner's. For CutMix their mean is the share of pixels
            that an image keeps, as in the paper's code.
        num_classes: K.

    Returns:
        Images (B, C, H, W) and probabilities of the classes (B, K).
    """
    kept = weights.mean((2, 3))
    own = F.one_hot(y, num_classes).float()
    return x.roll(1, 0).lerp(x, weights.to(x.dtype)), kept * own + (1 - kept) * own.roll(1, 0)


@cache
def _quantiles(alpha: float) -> tuple[Tensor, Tensor]:
    """Return values x ** min(alpha, 1) for x in [0, 1/2], and the probabilities of Beta(alpha, alpha) up to x: (4097,) each.

    The density in x is infinite at 0 if alpha is below 1. The density in x ** alpha is (1 - x) ** (alpha - 1), which is
    bounded, so that the table is accurate everywhere.
    """
    power = min(alpha, 1)
    values = torch.linspace(0, 0.5**power, _NUM_QUANTILES + 1, dtype=torch.float64)
    x = ((values[1:] + values[:-1]) / 2) ** (1 / power)
    below = F.pad((x ** (alpha - power) * (1 - x) ** (alpha - 1)).cumsum(0), (1, 0))
    return values.float(), (0.5 * below / below[-1]).float()
