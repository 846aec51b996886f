"""Report of the test images with the most confident wrong predictions."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.tasks.drawing import displayable, grid
from zoo.training.reporting import facts, gathered, log_picture, writes

_NAME = 22  # last characters of a file's name that a caption shows


class HasLoss(Protocol):
    """A prediction for the sample at a position."""

    @property
    def loss(self) -> float: ...
    @property
    def position(self) -> int: ...


P = TypeVar("P", bound=HasLoss)


class Error(NamedTuple):
    """A wrong prediction. Its loss is higher the less probable the true class was."""

    loss: float
    position: int
    image: np.ndarray  # (H, W) or (H, W, 3)
    caption: str


def worst_errors(logits: Tensor, target: Tensor, num: int) -> list[tuple[int, float]]:
    """Return the rows of at most `num` wrong predictions, and their losses, the highest first: logits (B, K), classes (B,)."""
    losses = F.cross_entropy(logits, target, reduction="none").where(logits.argmax(1) != target, -1.0)
    highest = losses.topk(min(num, len(losses)))
    return [(row, loss) for row, loss in zip(highest.indices.tolist(), highest.values.tolist(), strict=True) if loss >= 0]


def highest_losses(predictions: list[P], num: int) -> list[P]:
    """Return at most `num` predictions, the one with the highest loss first. The position decides between equal losses."""
    return sorted(predictions, key=lambda one: (-one.loss, one.position))[:num]


class WorstErrors(Callback):
    """Draws the wrong predictions with the highest loss into `folder`/worst_errors.png, and sends them to W&B.

    For classifiers of images (B, C, H, W) whose classes have names. The errors show what a score hides: wrong labels, and
    images that are hard for people too. Images from files are captioned with the file's name.

    Args:
        folder: folder of the picture.
        num_images: number of images.
    """

    def __init__(self, folder: Path, num_images: int = 16) -> None:
        self.folder, self.num_images = folder, num_images
        self._worst: list[Error] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._worst = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        names, files = facts(trainer).class_names, facts(trainer).files
        logits, target = outputs["preds"].float(), outputs["target"]
        if not names:
            return
        confidence, predicted = logits.softmax(1).max(1)
        for row, loss in worst_errors(logits, target, self.num_images):
            if len(self._worst) == self.num_images and loss <= self._worst[-1].loss:
                break
            caption = f"{names[int(predicted[row])]} {confidence[row].item():.0%} (is {names[int(target[row])]})"
            position = int(batch.position[row])
            if files is not None:
                name = Path(files.name(position)).name
                caption += f"\n{name if len(name) <= _NAME else '…' + name[1 - _NAME :]}"
            self._worst.append(Error(loss, position, displayable(batch.x[row].float().cpu()), caption))
            self._worst = highest_losses(self._worst, self.num_images)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        worst, self._worst = highest_losses(gathered(trainer, self._worst), self.num_images), []
        if not worst or not writes(trainer):
            return
        path = self.folder / "worst_errors.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid([error.image for error in worst], [error.caption for error in worst], [True] * len(worst)).savefig(path)
        log_picture(trainer, "test/worst_errors", path)
