"""Report of the predictions for a few validation images."""

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer

from zoo.tasks.drawing import displayable, grid
from zoo.training.reporting import ValidationPictures, facts


class ImageSamples(ValidationPictures):
    """Draws the first validation images with their predicted classes into `folder`/val_samples.png, and sends them to W&B.

    For classifiers of images (B, C, H, W) whose classes have names. The images are the same at every validation, because
    evaluation does not shuffle. Captions of wrong predictions are red.

    Args:
        folder: folder of the picture.
        num_images: number of images.
    """

    def __init__(self, folder: Path, num_images: int = 16) -> None:
        super().__init__(folder)
        self.num_images = num_images

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        data = facts(trainer)
        names = data.class_names
        if batch_idx or trainer.sanity_checking or not names or data.serves_features:
            return
        predicted = outputs["preds"][: self.num_images].argmax(1).tolist()
        truth = batch.y[: self.num_images].tolist()
        images = batch.x[: self.num_images].float().cpu()

        def draw(path: Path) -> None:
            captions = [names[p] if p == t else f"{names[p]} (is {names[t]})" for p, t in zip(predicted, truth, strict=True)]
            wrong = [p != t for p, t in zip(predicted, truth, strict=True)]
            grid([displayable(image) for image in images], captions, wrong).savefig(path)

        self.offer(trainer, {"val/samples": ("val_samples.png", draw)})
