"""What games have in common whose generator makes one image of another."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from torch import Tensor

from zoo.errors import ZooError
from zoo.nn.checks import check_range
from zoo.tasks.adversarial.base import TwoPlayers, as_images, as_signed
from zoo.tasks.filters import first_filters
from zoo.tasks.translation.pictures import Translations
from zoo.training.system import Outputs


class Translator(TwoPlayers):
    """Base of systems that translate: x of a batch are images of one domain, y of another, both (B, C, H, W) in [0, 1].

    Every score in pixels is of images in [0, 1], every weight of a loss for images in [-1, 1], as the papers have it.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to images of the other domain."""
        return as_images(self.net(*map(as_signed, inputs)))

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"preds": self(batch.x), "position": batch.position}

    def strips(self, batch: Any) -> dict[str, Tensor]:
        """What to look at of a batch, by name: rows of pictures (B, N, C, H, W) in [0, 1]."""
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
