"""Test-time augmentation: average a classifier's probabilities over several views of each image.

Shapes: B batch, C channels, H height, W width, K classes, V views.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError

Views = Literal["flip", "shifts", "five_crops"]
VIEWS: dict[Views, tuple[str, ...]] = {  # in the order of `views_of`
    "flip": ("as given", "mirrored"),
    "shifts": ("as given", "moved down", "moved up", "moved right", "moved left"),
    "five_crops": ("centre", "top left", "top right", "bottom left", "bottom right"),
}
_SHIFT = 1 / 28  # of the image's side
_CROP = 7 / 8  # of the image's side


def views_of(x: Tensor, views: Views) -> list[Tensor]:
    """Return views of images (B, C, H, W) of the same shape.

    "flip" is the image and its mirror image. "shifts" is the image and copies moved by 1/28 of its side, at least one pixel, in
    four directions; the border is repeated. "five_crops" is the centre and the corners with 7/8 of each side, enlarged
    (Krizhevsky et al., 2012).
    """
    height, width = x.shape[-2:]
    match views:
        case "flip":
            return [x, x.flip(-1)]
        case "shifts":
            down, right = (max(1, round(_SHIFT * size)) for size in (height, width))
            wide = F.pad(x, (right, right, down, down), mode="replicate")
            corners = [(down, right), (0, right), (2 * down, right), (down, 0), (down, 2 * right)]
            return [wide[..., top : top + height, left : left + width] for top, left in corners]
        case "five_crops":
            rows, columns = (max(1, round(_CROP * size)) for size in (height, width))
            bottom, end = height - rows, width - columns
            corners = [(bottom // 2, end // 2), (0, 0), (0, end), (bottom, 0), (bottom, end)]
            crops = [x[..., top : top + rows, left : left + columns] for top, left in corners]
            return [F.interpolate(crop, (height, width), mode="bilinear", align_corners=False) for crop in crops]
        case _:
            raise ZooError(f"unknown views {views!r}: choose one of flip, shifts, five_crops")


def describe_views(views: Views) -> str:
    """Return one line that says which views are averaged."""
    return f"averaged over {len(VIEWS[views])} views of each image: {', '.join(VIEWS[views])} (--tta {views})"


def average(logits: Tensor) -> Tensor:
    """Average probabilities over views: logits (V, B, K) to the logarithms of mean probabilities (B, K)."""
    return logits.float().log_softmax(-1).logsumexp(0) - math.log(len(logits))


class AverageViews(nn.Module):
    """A classifier that sees several views of each image: (B, C, H, W) to log-probabilities (B, K).

    Args:
        net: classifier of one view, images (B, C, H, W) to logits (B, K).
        views: as in `views_of`.
    """

    def __init__(self, net: nn.Module, views: Views) -> None:
        super().__init__()
        self.net, self.views = net, views

    def forward(self, x: Tensor) -> Tensor:
        views = views_of(x, self.views)
        return average(self.net(torch.cat(views)).view(len(views), len(x), -1))
