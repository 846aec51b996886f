"""Base class of classifiers: cross-entropy over K classes, and the reports of a run."""

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from lightning import Callback
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.tasks import classification
from zoo.nn.checks import check_labels, check_probabilities
from zoo.tasks.classification.confusion import ConfusionMatrix
from zoo.tasks.classification.image_samples import ImageSamples
from zoo.tasks.classification.per_class import PerClass
from zoo.tasks.classification.worst_errors import WorstErrors
from zoo.tasks.filters import first_filters
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, System


class Classifier(System):
    """Base class of classifiers. A subclass builds `net`, which maps inputs (B, ...) to logits (B, K).

    Args:
        num_classes: K.
        label_smoothing: probability that is spread evenly over all classes in each training target, in [0, 1) (Szegedy et al.,
            2016, arXiv:1512.00567).

    Raises:
        ZooError: if `label_smoothing` is out of range.
    """

    monitor = ("val/acc", "max")
    headline = "test/acc"

    def __init__(self, num_classes: int, label_smoothing: float, lr: float, optim: Optim | None) -> None:
        if not 0 <= label_smoothing < 1:
            raise ZooError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        super().__init__(lr, optim, classification(num_classes))
        self.num_classes, self.label_smoothing = num_classes, label_smoothing

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(*self.inputs(batch))
        return self.loss(logits, batch.y), self.outputs(logits, batch.y)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Compute the mean cross-entropy (0-d) of logits (B, K) and classes (B,), or probabilities of classes (B, K).

        Labels are smoothed in training only.
        """
        return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing if self.training else 0.0)

    def outputs(self, logits: Tensor, y: Tensor) -> Outputs:
        """Return predictions and targets for the metrics. Mixed images have no class, and so no target."""
        return {"preds": logits} if y.is_floating_point() else {"preds": logits, "target": y}

    def check_batch(self, batch: Any) -> None:
        if batch.y.is_floating_point():
            check_probabilities(batch.y, self.num_classes)
        else:
            check_labels(batch.y, self.num_classes)

    def reports(self, folder: Path) -> list[Callback]:
        pictures = folder / "pictures"
        takes_images = len(self.hparams.get("input_shape", ())) == 3  # (C, H, W)
        return [
            *super().reports(folder),
            *([ImageSamples(pictures), WorstErrors(pictures)] if takes_images else []),
            *first_filters(self.net, pictures),
            *class_reports(folder),
        ]


def class_reports(folder: Path) -> list[Callback]:
    """Return the reports about classes that every classifier has. `folder` is the run directory."""
    return [PerClass(folder / "predictions"), ConfusionMatrix(folder / "pictures")]
