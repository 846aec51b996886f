"""Metrics of each task, by their names in logs and tables."""

import torch
from torch import Tensor
from torchmetrics import MeanSquaredError, Metric, MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat


class SecondClassF1(BinaryF1Score):
    """F1 score of class 1 from logits (B, 2) and classes (B,)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.argmax(1), target)


class R2(Metric):
    """Coefficient of determination from predictions (B, T) and targets (B, T), averaged over T: 1 is perfect, 0 is the mean.

    torchmetrics' `R2Score` sums squared targets in float32, which loses the variance of targets far from zero, and treats
    every sum below 1e-4 as a constant target. This class sums differences from a target of the same batch instead. The score
    of fewer than two samples is NaN. With a constant target it is 1 if all predictions are exact, else 0.
    """

    full_state_update = False
    batches: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        # For each batch and target: number of samples, a target, sums of differences from it and of their squares, and
        # the sum of squared errors.
        self.add_state("batches", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add predictions (B, T) and targets (B, T)."""
        preds, target = preds.float(), target.float()
        origin = target[0]
        difference = target - origin
        sums = [difference.sum(0), (difference**2).sum(0), ((preds - target) ** 2).sum(0)]
        self.batches.append(torch.stack([torch.full_like(origin, len(target)), origin, *sums])[None])

    def compute(self) -> Tensor:
        batches = dim_zero_cat(self.batches)
        size, origin, first, second, error = batches.cpu().double().unbind(1)  # (batches, T) each; a GPU may lack float64
        shift = origin - origin[0]  # from here on, differences are from the first target of all
        total = size.sum(0)
        mean = (first + size * shift).sum(0) / total
        variation = (second + 2 * shift * first + size * shift**2).sum(0) - total * mean**2
        score = torch.where(variation > 0, 1 - error.sum(0) / variation, (error.sum(0) == 0).double())
        return torch.where(total > 1, score, torch.nan).mean().to(batches)


def class_probabilities(preds: Tensor) -> Tensor:
    """Compute probabilities (B, K) in float32 from the output "preds": logits (B, K), or the probability of class 1 (B,)."""
    preds = preds.float()
    return preds.softmax(1) if preds.ndim == 2 else torch.stack([1 - preds, preds], 1)


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
    return {"rmse": MeanSquaredError(squared=False), "r2": R2()}
