"""Base class of image-to-image systems."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import Tensor

from zoo.errors import ZooError
from zoo.nn.checks import check_range
from zoo.nn.image_range import as_images, as_signed
from zoo.tasks.filters import first_filters
from zoo.tasks.translation.pictures import Translations
from zoo.training.system import Outputs, System


class Translator(System):
    """A system that translates images. The fields x and y of a batch are images of two domains, (B, C, H, W) in [0, 1].

    Pixel scores are computed on images in [0, 1]. Losses are computed on images in [-1, 1], as in the papers.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        """Translate images (B, C, H, W) in [0, 1] from the first domain to the second."""
        return as_images(self.net(*map(as_signed, inputs)))

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"preds": self(batch.x), "position": batch.position}

    def strips(self, batch: Any) -> dict[str, Tensor]:
        """Return strips of N images for each sample, by name: (B, N, C, H, W) in [0, 1].

        By default a strip is input, translation and target.
        """
        return {"translations": torch.stack([batch.x, self(batch.x), batch.y], dim=1)}

    def check_batch(self, batch: Any) -> None:
        if batch.y.ndim != 4:
            raise ZooError(
                f"{type(self).__name__} translates images to images, but y is of shape {tuple(batch.y.shape)}: "
                "choose data with two domains (PairedImages, UnpairedImages, UnpairedSets)"
            )
        check_range(batch.x)
        check_range(batch.y)

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), *first_filters(self.net, folder / "pictures"), Translations(folder)]
