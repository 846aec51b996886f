"""What a translator makes of images, in pictures."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.tasks.tiles import save_tiles
from zoo.training.reporting import log_pictures, writes


class Translations(Callback):
    """Draws into `run_dir`/pictures, and sends to W&B, the strips of a system that has `strips(batch)`.

    Of the first images, at every validation and again in the test, as `test_*.png`. After predict every translation lies in
    `run_dir`/predictions/translations, named by its image's place.

    Args:
        run_dir: of the run.
        num_images: rows of a sheet.
    """

    def __init__(self, run_dir: Path, num_images: int = 8) -> None:
        self.run_dir, self.num_images = run_dir, num_images
        self._rows: dict[str, list[Tensor]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking:
            self._collect(pl_module, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, "val")

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._collect(pl_module, batch)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, "test")

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if hasattr(pl_module, "strips"):
            for image, place in zip(outputs["preds"], outputs["position"].tolist(), strict=True):
                path = self.run_dir / "predictions" / "translations" / f"{place:06d}.png"
                save_tiles(image[None, None], path, least_width=1)

    def _collect(self, model: Any, batch: Any) -> None:
        """Keep a batch's strips, as long as more are wanted; in every process, since a sharded network needs them all."""
        if not hasattr(model, "strips"):
            return
        wanted = self.num_images - sum(map(len, next(iter(self._rows.values()), [])))
        if wanted > 0:
            first = batch._replace(**{name: value[:wanted] for name, value in batch._asdict().items()})
            for name, rows in model.strips(first).items():
                self._rows.setdefault(name, []).append(rows)

    def _draw(self, trainer: Trainer, stage: str) -> None:
        collected, self._rows = self._rows, {}
        if not writes(trainer):
            return
        for name, rows in collected.items():
            path = self.run_dir / "pictures" / (f"{name}.png" if stage == "val" else f"{stage}_{name}.png")
            save_tiles(torch.cat(rows), path)
            log_pictures(trainer, f"{stage}/{name}", [str(path)])
