"""What image-to-image systems share: x of a batch are images of one domain, y of another, both (B, C, H, W) in [0, 1].

Pixel scores are computed on images in [0, 1]; weights of losses refer to images in [-1, 1], as in the papers.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.checks import check_range


@runtime_checkable
class Translator(Protocol):
    """A system that translates images. Its `forward` maps images (B, C, H, W) in [0, 1] to images of the other domain."""

    def strips(self, batch: Any) -> dict[str, Tensor]:
        """Return rows of pictures to look at, by name: (B, N, C, H, W) in [0, 1]."""


@runtime_checkable
class TwoWayTranslator(Translator, Protocol):
    """A system that also translates images of the second domain to the first."""

    def back(self, y: Tensor) -> Tensor:
        """Translate images of the second domain (B, C, H, W) in [0, 1] to the first."""


def translations(system: nn.Module, batch: Any) -> dict[str, Tensor]:
    """Return rows of input, translation and target: (B, 3, C, H, W) in [0, 1]."""
    return {"translations": torch.stack([batch.x, system(batch.x), batch.y], dim=1)}


def check_domains(system: nn.Module, batch: Any) -> None:
    """Refuse a batch that is not images of two domains in [0, 1].

    Raises:
        ZooError: naming what was found.
    """
    if batch.y.ndim != 4:
        raise ZooError(
            f"{type(system).__name__} translates images to images, but y is of shape {tuple(batch.y.shape)}: "
            "choose data with two domains (PairedImages, UnpairedImages, UnpairedSets)"
        )
    check_range(batch.x)
    check_range(batch.y)
