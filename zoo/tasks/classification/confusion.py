"""Confusion matrix of the test samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from zoo.training.reporting import facts, gathered, log_picture, writes


class Confusion(Callback):
    """Base class of reports on the confusion matrix of the test samples of all ranks.

    For classifiers whose classes have names. The output "preds" holds logits (B, K), or the probability of class 1 (B,).

    Args:
        folder: folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counts: list[np.ndarray] = []  # (K, K) for each batch

    def report(self, trainer: Trainer, counts: np.ndarray, names: Sequence[str]) -> None:
        """Write the report on a confusion matrix (K, K). Called in one process only."""
        raise NotImplementedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._counts = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        preds, names = outputs["preds"], facts(trainer).class_names
        if names:
            predicted = preds.argmax(1) if preds.ndim == 2 else (preds > 0.5).long()
            self._counts.append(confusion_matrix(outputs["target"].tolist(), predicted.tolist(), len(names)))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._counts = gathered(trainer, self._counts), []
        if parts and writes(trainer):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.report(trainer, np.sum(parts, axis=0), facts(trainer).class_names)


class ConfusionMatrix(Confusion):
    """Draws `folder`/confusion_matrix.png after test, and sends it to W&B."""

    def report(self, trainer: Trainer, counts: np.ndarray, names: Sequence[str]) -> None:
        path = self.folder / "confusion_matrix.png"
        confusion_figure(counts, names).savefig(path, dpi=120)
        log_picture(trainer, "test/confusion_matrix", path)


def confusion_matrix(truth: Sequence[int], predicted: Sequence[int], num_classes: int) -> np.ndarray:
    """Count samples by true class (rows) and predicted class (columns): (K, K)."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)
    return counts


def confusion_figure(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix. Shades show the fraction of the true class, numbers show counts."""
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    size = max(4.0, 0.55 * len(names) + 1.5)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=shade)
    return figure
