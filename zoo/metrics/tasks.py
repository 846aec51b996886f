"""The metrics each task reports, by their names in logs and tables."""

from torch import Tensor
from torchmetrics import MeanSquaredError, Metric, MetricCollection, R2Score
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassAccuracy


class SecondClassF1(BinaryF1Score):
    """F1 of class 1 of two; logits (B, 2) against classes (B,)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.argmax(1), target)


def classification(num_classes: int) -> dict[str, Metric | MetricCollection]:
    """Share of right answers over all samples (micro), of two classes also F1 of the second; logits (B, K), classes (B,)."""
    accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
    return {"acc": accuracy, "f1": SecondClassF1(validate_args=False)} if num_classes == 2 else {"acc": accuracy}


def binary_classification() -> dict[str, Metric | MetricCollection]:
    """Accuracy and F1 of the positive class; probabilities (B,) against {0, 1} (B,).

    Not logits: torchmetrics would take a batch of logits that all lie in [0, 1] for probabilities.
    """
    return {"acc": BinaryAccuracy(validate_args=False), "f1": BinaryF1Score(validate_args=False)}


def regression() -> dict[str, Metric | MetricCollection]:
    """Root mean squared error in the target's units, and explained share of variance; (B, T) against (B, T)."""
    return {"rmse": MeanSquaredError(squared=False), "r2": R2Score()}
