"""The test images that a classifier got most wrong."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer

from zoo.tasks.classification.image_samples import displayable, grid
from zoo.training.reporting import gathered, log_pictures, writes


class Error(NamedTuple):
    """A wrong answer, the surer the worse."""

    loss: float
    position: int
    image: np.ndarray  # (H, W) or (H, W, 3)
    caption: str


class WorstErrors(Callback):
    """Draws the wrong answers with the highest loss into `folder`/worst_errors.png, and sends them to W&B.

    For classifiers of images only. They show what a score hides: labels that are wrong, and pictures nobody could tell.
    """

    def __init__(self, folder: Path, num_images: int = 16) -> None:
        self.folder, self.num_images = folder, num_images
        self._worst: list[Error] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._worst = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        names = getattr(getattr(trainer, "datamodule", None), "class_names", ())
        preds = outputs.get("preds") if outputs else None
        if preds is None or preds.ndim != 2 or batch.x.ndim != 4 or not names:
            return
        losses = F.cross_entropy(preds.float(), outputs["target"], reduction="none")
        sure, predicted = preds.float().softmax(1).max(1)
        losses = losses.where(predicted != outputs["target"], -1.0)  # right answers are no errors
        for place in losses.topk(min(self.num_images, len(losses))).indices.tolist():
            loss = losses[place].item()
            if loss < 0 or (len(self._worst) == self.num_images and loss <= self._worst[-1].loss):
                break
            says, truth = names[int(predicted[place])], names[int(outputs["target"][place])]
            caption = f"{says} {sure[place].item():.0%} (is {truth})"
            self._worst.append(Error(loss, int(batch.position[place]), displayable(batch.x[place].float().cpu()), caption))
            self._worst = self._hardest(self._worst)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        worst, self._worst = self._hardest(gathered(trainer, self._worst)), []
        if not worst or not writes(trainer):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        images, captions = [error.image for error in worst], [error.caption for error in worst]
        grid(images, captions, [True] * len(worst)).savefig(self.folder / "worst_errors.png")
        log_pictures(trainer, "test/worst_errors", images, captions)

    def _hardest(self, errors: list[Error]) -> list[Error]:
        return sorted(errors, key=lambda error: (-error.loss, error.position))[: self.num_images]
