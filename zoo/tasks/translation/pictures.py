"""Pictures of images and their translations."""

from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from zoo.tasks.drawing import save_tiles
from zoo.training.reporting import ValidationPictures, log_picture, writes


class Strips(Protocol):
    """The method of a translator that the pictures use."""

    def strips(self, batch: Any) -> dict[str, Tensor]:
        """Return strips of N images for each sample, by name: (B, N, C, H, W) in [0, 1]."""
        ...


class Translations(ValidationPictures):
    """Draws the strips of the first validation and test images into `run_dir`/pictures, and sends them to W&B.

    The pictures of the test are called `test_*.png`. Predict writes every translation into
    `run_dir`/predictions/translations, under the position of its image.

    Args:
        run_dir: the run directory.
        num_images: number of strips in a picture.
    """

    def __init__(self, run_dir: Path, num_images: int = 8) -> None:
        super().__init__(run_dir / "pictures")
        self.run_dir, self.num_images = run_dir, num_images
        self._rows: dict[str, list[Tensor]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking:
            self._collect(cast(Strips, pl_module), batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            sheets = self._collected()
            self.offer(trainer, {f"val/{name}": (f"{name}.png", partial(save_tiles, rows)) for name, rows in sheets.items()})

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._collect(cast(Strips, pl_module), batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, rows in self._collected().items() if writes(trainer) else ():
            path = self.folder / f"test_{name}.png"
            save_tiles(rows, path)
            log_picture(trainer, f"test/{name}", path)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        for image, position in zip(outputs["preds"], outputs["position"].tolist(), strict=True):
            path = self.run_dir / "predictions" / "translations" / f"{position:06d}.png"
            save_tiles(image[None, None], path, width=1)

    def _collect(self, model: Strips, batch: Any) -> None:
        """Keep a batch's strips until there are enough. Every process does, because a sharded network needs all of them."""
        wanted = self.num_images - sum(map(len, next(iter(self._rows.values()), [])))
        if wanted > 0:
            first = batch._replace(**{name: value[:wanted] for name, value in batch._asdict().items()})
            for name, rows in model.strips(first).items():
                self._rows.setdefault(name, []).append(rows.float().cpu())

    def _collected(self) -> dict[str, Tensor]:
        collected, self._rows = self._rows, {}
        return {name: torch.cat(rows) for name, rows in collected.items()}
