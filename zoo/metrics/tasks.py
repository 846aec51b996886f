"""Metrics of each task, by their names in logs and tables."""

from torch import Tensor
from torchmetrics import MeanSquaredError, Metric, MetricCollection, R2Score
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassAccuracy


class SecondClassF1(BinaryF1Score):
    """F1 score of class 1 from logits (B, 2) and classes (B,)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.argmax(1), target)


def classification(num_classes: int) -> dict[str, Metric | MetricCollection]:
    """Build micro-averaged accuracy, and for two classes the F1 score of class 1, from logits (B, K) and classes (B,)."""
    accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
    return {"acc": accuracy, "f1": SecondClassF1(validate_args=False)} if num_classes == 2 else {"acc": accuracy}


def binary_classification() -> dict[str, Metric | MetricCollection]:
    """Build accuracy and the F1 score of class 1, from probabilities (B,) and classes 0 or 1 (B,).

    They need probabilities, because torchmetrics treats logits that all lie in [0, 1] as probabilities.
    """
    return {"acc": BinaryAccuracy(validate_args=False), "f1": BinaryF1Score(validate_args=False)}


def regression() -> dict[str, Metric | MetricCollection]:
    """Build the root mean squared error, in the targets' units, and R2, from predictions (B, T) and targets (B, T)."""
    return {"rmse": MeanSquaredError(squared=False), "r2": R2Score()}
