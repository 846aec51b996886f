"""Confusion matrix of the test samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from zoo.tasks.drawing import shorten
from zoo.training.files import write_csv
from zoo.training.reporting import facts, gathered, log_picture, writes

MOST_CLASSES = 30  # in the picture
_NAME = 24  # characters of a class's name


class Confusion(Callback):
    """Base class of reports on the true and the predicted classes of the test samples of all ranks.

    For classifiers whose classes have names. The output "preds" holds logits (B, K), or the probability of class 1 (B,).

    Args:
        folder: folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pairs: list[np.ndarray] = []  # (2, B) for each batch. Matrices (K, K) would fill the memory if K is large.

    def report(self, trainer: Trainer, truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
        """Write the report on the classes (N,) of all samples. Called in one process only."""
        raise NotImplementedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pairs = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if facts(trainer).class_names:
            preds = outputs["preds"]
            predicted = preds.argmax(1) if preds.ndim == 2 else (preds > 0.5).long()
            self._pairs.append(torch.stack([outputs["target"].long(), predicted]).cpu().numpy())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._pairs = gathered(trainer, self._pairs), []
        if parts and writes(trainer):
            self.folder.mkdir(parents=True, exist_ok=True)
            truth, predicted = np.concatenate(parts, axis=1)
            self.report(trainer, truth, predicted, facts(trainer).class_names)


class ConfusionMatrix(Confusion):
    """Draws `folder`/confusion_matrix.png after test, and sends it to W&B. confusion_matrix.csv beside it has all counts.

    If there are more than 30 classes, the picture shows those with the most wrong predictions.
    """

    def report(self, trainer: Trainer, truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
        path = self.folder / "confusion_matrix.png"
        confusion_figure(truth, predicted, names).savefig(path, dpi=120)
        log_picture(trainer, "test/confusion_matrix", path)
        pairs, counts = np.unique([truth, predicted], axis=1, return_counts=True)
        rows = [[names[t], names[p], count] for t, p, count in zip(*pairs.tolist(), counts.tolist(), strict=True)]
        write_csv(path.with_suffix(".csv"), ["true", "predicted", "count"], rows)


def most_confused(truth: np.ndarray, predicted: np.ndarray, num_classes: int, most: int = MOST_CLASSES) -> np.ndarray:
    """Return all classes, or the `most` classes that occur in the most wrong predictions, in ascending order."""
    wrong = truth != predicted
    errors = sum(np.bincount(classes[wrong], minlength=num_classes) for classes in (truth, predicted))
    return np.sort(np.argsort(-np.asarray(errors), kind="stable")[:most])


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Count samples by true class (rows) and predicted class (columns), for sorted `classes` (C,) only: (C, C)."""
    among = np.isin(truth, classes) & np.isin(predicted, classes)
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(classes, truth[among]), np.searchsorted(classes, predicted[among])), 1)
    return counts


def confusion_figure(truth: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix of at most 30 classes. Shades show the fraction of the true class, numbers show counts."""
    classes = most_confused(truth, predicted, len(names))
    counts = confusion_matrix(truth, predicted, classes)
    share = counts / np.maximum(1, np.bincount(truth, minlength=len(names))[classes][:, None])
    size = max(4.0, 0.55 * len(classes) + 1.5)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [shorten(names[number], _NAME) for number in classes]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) < len(names):
        axes.set_title(f"the {len(classes)} of {len(names):,} classes with the most wrong predictions", fontsize=9)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=shade)
    return figure
