"""Base class of classifiers: cross-entropy or focal loss over K classes, and the reports of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning import Callback
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.tasks import classification
from zoo.nn.checks import check_labels, check_probabilities
from zoo.nn.losses import ClassLoss, check_loss, cross_entropy, focal
from zoo.tasks.classification.calibration import Calibration
from zoo.tasks.classification.confusion import ConfusionMatrix
from zoo.tasks.classification.grad_cam import grad_cam_sheet
from zoo.tasks.classification.image_samples import ImageSamples
from zoo.tasks.classification.per_class import PerClass
from zoo.tasks.classification.worst_errors import WorstErrors
from zoo.tasks.filters import first_filters
from zoo.training.facts import Facts
from zoo.training.optim import Optim
from zoo.training.reporting import facts
from zoo.training.system import Batch, Outputs, System

ClassWeights = Literal["balanced"] | Sequence[float] | None


class Classifier(System):
    """Base class of classifiers. A subclass builds `net`, which maps inputs (B, ...) to logits (B, K).

    Args:
        num_classes: K.
        label_smoothing: probability that is spread evenly over all classes in each training target, in [0, 1) (Szegedy et al.,
            2016, arXiv:1512.00567).
        class_weights: weight of each class in the training loss (alpha_t of the focal loss): K numbers, or "balanced" for
            weights inversely proportional to the number of training samples.
        loss: training loss. Validation and test always log the plain cross-entropy, so that runs can be compared.

    Raises:
        ZooError: if `label_smoothing`, `class_weights` or `loss` is out of range, or if labels are smoothed in a focal loss.
    """

    monitor: ClassVar[tuple[str, Literal["min", "max"]] | None] = ("val/acc", "max")
    headline = "test/acc"

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float,
        lr: float,
        optim: Optim | None,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ZooError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        training_loss = check_loss(loss, ClassLoss)
        if training_loss["name"] == "focal" and label_smoothing:
            raise ZooError(
                f"the focal loss needs one class for each sample, got label_smoothing {label_smoothing}: set it to 0, or "
                "choose loss cross_entropy"
            )
        super().__init__(lr, optim, classification(num_classes))
        self.num_classes, self.label_smoothing, self.training_loss = num_classes, label_smoothing, training_loss
        self.balanced = class_weights == "balanced"
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", initial_weights(class_weights, num_classes))  # in checkpoints unless None

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.balanced and self.trainer.ckpt_path is None:  # a resumed run keeps the weights in its checkpoint
            assert self.class_weights is not None
            self.class_weights.copy_(balanced_weights(facts(self.trainer), self.num_classes))

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(*self.inputs(batch))
        return self.loss(logits, batch.y), self.outputs(logits, batch.y)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Compute the mean loss (0-d) of logits (B, K) and classes (B,), or probabilities of classes (B, K).

        The training loss is the one of the settings, with smoothed labels and weighted classes. In evaluation it is the plain
        cross-entropy.
        """
        if not self.training:
            return cross_entropy(logits, y)
        if self.training_loss["name"] == "focal":
            return focal(logits, y, self.training_loss["gamma"], self.class_weights)
        return cross_entropy(logits, y, self.class_weights, self.label_smoothing)

    def outputs(self, logits: Tensor, y: Tensor) -> Outputs:
        """Return predictions and targets for the metrics. Mixed images have no class, and so no target."""
        return {"preds": logits} if y.is_floating_point() else {"preds": logits, "target": y}

    def check_batch(self, batch: Any) -> None:
        if batch.y.is_floating_point() and self.training_loss["name"] != "focal":
            check_probabilities(batch.y, self.num_classes)
        else:
            check_labels(batch.y, self.num_classes)

    def reports(self, folder: Path) -> list[Callback]:
        pictures = folder / "pictures"
        takes_images = len(self.hparams.get("input_shape", ())) == 3  # (C, H, W)
        return [
            *super().reports(folder),
            *([ImageSamples(pictures), WorstErrors(pictures), *grad_cam_sheet(self.net, pictures)] if takes_images else []),
            *first_filters(self.net, pictures),
            *class_reports(folder),
        ]


def initial_weights(class_weights: ClassWeights, num_classes: int) -> Tensor | None:
    """Return the weights (K,) of the classes at construction, or None without weights. Balanced weights are 1 until a fit.

    Raises:
        ZooError: if there are not K weights, if one is negative, or if all are 0.
    """
    if class_weights is None:
        return None
    if class_weights == "balanced":
        return torch.ones(num_classes)
    if isinstance(class_weights, str):
        raise ZooError(f'class_weights must be "balanced" or {num_classes} numbers, got {class_weights!r}')
    weights = torch.tensor([float(weight) for weight in class_weights])
    if len(weights) != num_classes or not (weights.isfinite().all() and weights.min() >= 0 and weights.max() > 0):
        raise ZooError(f"class_weights must be {num_classes} numbers from 0 on, one for each class, got {list(class_weights)}")
    return weights


def balanced_weights(data: Facts, num_classes: int) -> Tensor:
    """Compute weights (K,) of N / (K n), for N samples in an epoch of training and n of the class. They average 1 over samples.

    Raises:
        ZooError: if the data do not state the numbers of samples, or have no training sample of a class.
    """
    if data.class_counts is None:
        raise ZooError("class_weights balanced needs data that count the samples of each class: give a number for each class")
    counts = data.class_counts("train").double()
    if not counts.all():
        empty = int((counts == 0).nonzero()[0])
        name = data.class_names[empty] if data.class_names else empty
        raise ZooError(f"class_weights balanced needs samples of every class, but {name} has none in train: add some")
    return counts.sum() / (num_classes * counts)


def class_reports(folder: Path) -> list[Callback]:
    """Return the reports about classes that every classifier has. `folder` is the run directory."""
    return [PerClass(folder / "predictions"), ConfusionMatrix(folder / "pictures"), Calibration(folder / "pictures")]
