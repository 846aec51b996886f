"""Calibration of a classifier on the test samples: a score and a reliability diagram."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.metrics.calibration import NUM_BINS, calibration_bins, expected_calibration_error
from zoo.metrics.tasks import class_probabilities
from zoo.training.reporting import gathered, log_picture, writes


class Calibration(Callback):
    """Logs the expected calibration error of 15 bins as test/ece, and draws `folder`/reliability.png, also sent to W&B.

    For classifiers. The output "preds" holds logits (B, K), or the probability of class 1 (B,).

    Args:
        folder: folder of the picture.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bins = _no_samples()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bins = _no_samples()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        confidence, predicted = class_probabilities(outputs["preds"]).max(1)
        self._bins += calibration_bins(confidence, predicted == outputs["target"])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bins = torch.stack(gathered(trainer, [self._bins])).sum(0)
        if self._bins[0].any():
            pl_module.log("test/ece", expected_calibration_error(self._bins), sync_dist=True)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._bins[0].any() or not writes(trainer):
            return
        path = self.folder / "reliability.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        reliability_figure(self._bins).savefig(path, dpi=120)
        log_picture(trainer, "test/reliability", path)


def reliability_figure(bins: Tensor) -> Figure:
    """Draw a reliability diagram of bins (3, M): accuracy by confidence, and below it the number of samples in each bin."""
    num, confidence, correct = bins.numpy()
    filled = num > 0
    width = 1 / len(num)
    centres = (filled.nonzero()[0] + 0.5) * width
    accuracy, mean_confidence = correct[filled] / num[filled], confidence[filled] / num[filled]
    figure = Figure(figsize=(4.5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="perfect calibration")
    upper.bar(centres, accuracy, 0.9 * width, color="steelblue", label="accuracy")
    upper.plot(mean_confidence, accuracy, "o", color="black", markersize=3, label="mean confidence")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.set_title(f"expected calibration error {expected_calibration_error(bins):.4f}", fontsize=10)
    upper.legend(loc="upper left", fontsize=8)
    lower.bar(centres, num[filled], 0.9 * width, color="grey")
    lower.set(xlabel="confidence", ylabel=f"samples (of {int(num.sum()):,})", yscale="log", ylim=(0.5, 2 * num.max()))
    return figure


def _no_samples() -> Tensor:
    return torch.zeros(3, NUM_BINS, dtype=torch.float64)
