"""What a translator makes of images, in pictures."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from zoo.callbacks.reporting import log_pictures, writes
from zoo.callbacks.tiles import save_tiles


class Translations(Callback):
    """Draws into `run_dir`/pictures, and sends to W&B, the strips of a system that has `strips(batch)`.

    Of the first images of the first batch, at every validation and again in the test, as `test_*.png`. After predict every
    translation lies in `run_dir`/predictions/translations, named by its image's place.

    Args:
        run_dir: of the run.
        num_images: rows of a sheet.
    """

    def __init__(self, run_dir: Path, num_images: int = 8) -> None:
        self.run_dir, self.num_images = run_dir, num_images

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0 and not trainer.sanity_checking:
            self._draw(trainer, pl_module, batch, "val")

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0:
            self._draw(trainer, pl_module, batch, "test")

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if hasattr(pl_module, "strips"):
            for image, place in zip(outputs["preds"], outputs["position"].tolist(), strict=True):
                path = self.run_dir / "predictions" / "translations" / f"{place:06d}.png"
                save_tiles(image[None, None], path, least_width=1)

    def _draw(self, trainer: Trainer, model: Any, batch: Any, stage: str) -> None:
        if not hasattr(model, "strips"):
            return
        first = batch._replace(**{name: value[: self.num_images] for name, value in batch._asdict().items()})
        sheets = model.strips(first)  # every process: a sharded network needs them all
        if not writes(trainer):
            return
        for name, rows in sheets.items():
            path = self.run_dir / "pictures" / (f"{name}.png" if stage == "val" else f"{stage}_{name}.png")
            save_tiles(rows, path)
            log_pictures(trainer, f"{stage}/{name}", [str(path)])
