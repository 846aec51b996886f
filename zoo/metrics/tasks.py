"""The metrics each task reports, by their names in logs and tables."""

from torchmetrics import MeanSquaredError, Metric, MetricCollection, R2Score
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassAccuracy


def classification(num_classes: int) -> dict[str, Metric | MetricCollection]:
    """Share of right answers over all samples (micro); logits (B, K) against classes (B,)."""
    return {"acc": MulticlassAccuracy(num_classes, average="micro", validate_args=False)}


def binary_classification() -> dict[str, Metric | MetricCollection]:
    """Accuracy and F1 of the positive class; probabilities (B,) against {0, 1} (B,).

    Not logits: torchmetrics would take a batch of logits that all lie in [0, 1] for probabilities.
    """
    return {"acc": BinaryAccuracy(validate_args=False), "f1": BinaryF1Score(validate_args=False)}


def regression() -> dict[str, Metric | MetricCollection]:
    """Root mean squared error in the target's units, and explained share of variance; (B, T) against (B, T)."""
    return {"rmse": MeanSquaredError(squared=False), "r2": R2Score()}
