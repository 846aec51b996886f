"""The same few images with their predictions, at every validation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.training.reporting import log_pictures, writes


class ImageSamples(Callback):
    """Shows the first validation images with what the model says of them: in W&B each time, in `folder` the last.

    For classifiers of images only; the batch is the same at every validation, since evaluation does not shuffle.
    """

    def __init__(self, folder: Path, num_images: int = 16) -> None:
        self.folder, self.num_images = folder, num_images
        self._last: tuple[list[np.ndarray], list[str], list[bool]] | None = None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        names = getattr(getattr(trainer, "datamodule", None), "class_names", ())
        if batch_idx or trainer.sanity_checking or not writes(trainer):
            return
        if batch.x.ndim != 4 or not names or not outputs or outputs.get("preds") is None or outputs["preds"].ndim != 2:
            return
        predicted = outputs["preds"][: self.num_images].argmax(1).tolist()
        truth = batch.y[: self.num_images].tolist()
        captions = [names[p] if p == t else f"{names[p]} (is {names[t]})" for p, t in zip(predicted, truth, strict=True)]
        images = [displayable(image) for image in batch.x[: self.num_images].float().cpu()]
        self._last = images, captions, [p != t for p, t in zip(predicted, truth, strict=True)]
        log_pictures(trainer, "val/samples", images, captions)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._last is not None:  # drawing takes longer than an epoch of a small set: once is enough
            self.folder.mkdir(parents=True, exist_ok=True)
            grid(*self._last).savefig(self.folder / "val_samples.png")


def displayable(image: Tensor) -> np.ndarray:
    """(C, H, W) of any range to (H, W, C) or (H, W) in [0, 1], stretched to the image's own extremes."""
    low, high = image.aminmax()
    image = (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).tiny)
    return (image[0] if len(image) == 1 else image.movedim(0, -1)).numpy()


def grid(images: list[np.ndarray], captions: list[str], wrong: list[bool]) -> Figure:
    """Pictures (H, W) or (H, W, 3) in rows of eight, each under its caption, red where it is wrong."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.6 * columns, 1.8 * rows), layout="constrained")
    for axes, image, caption, is_wrong in zip(
        figure.subplots(rows, columns, squeeze=False).flat, images, captions, wrong, strict=False
    ):
        axes.imshow(image, cmap="gray" if image.ndim == 2 else None, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(caption.replace(" (", "\n("), fontsize=8, color="firebrick" if is_wrong else "black")
    for axes in figure.axes:
        axes.axis("off")
    return figure
