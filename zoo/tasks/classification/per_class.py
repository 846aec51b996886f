"""Precision, recall and F1 of each class after test: which classes a single accuracy hides."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from zoo.training.predictions import confusion_matrix, write_csv
from zoo.training.reporting import gathered, log_table, writes


class PerClass(Callback):
    """Writes `folder`/per_class.csv over the samples of all ranks, a row per class, and sends it to W&B as test/per_class.

    For any classifier whose classes have names: "preds" are logits (B, K), or probabilities of class 1 (B,).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._counts: np.ndarray | None = None  # (K, K)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._counts = None

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        names = getattr(getattr(trainer, "datamodule", None), "class_names", ())
        preds = outputs.get("preds") if outputs else None
        if preds is None or preds.ndim > 2 or outputs["target"].ndim != 1 or not names:
            return
        predicted = preds.argmax(1) if preds.ndim == 2 else (preds > 0.5).long()
        counts = confusion_matrix(outputs["target"].tolist(), predicted.tolist(), len(names))
        self._counts = counts if self._counts is None else self._counts + counts

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._counts = gathered(trainer, [] if self._counts is None else [self._counts]), None
        if not parts or not writes(trainer):
            return
        names = trainer.datamodule.class_names  # type: ignore[attr-defined]
        header = ["class", "precision", "recall", "f1", "support"]
        rows = [[name, *scores] for name, scores in zip(names, per_class(np.sum(parts, axis=0)), strict=True)]
        write_csv(self.folder / "per_class.csv", header, rows)
        log_table(trainer, "test/per_class", header, rows)


def per_class(counts: np.ndarray) -> list[tuple[float, float, float, int]]:
    """Precision, recall, F1 (to four places) and number of samples of each class of a confusion matrix (K, K).

    Rows are the true classes. Where there is nothing to divide by, a score is 0.
    """
    right, support, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    scores = right / np.maximum(1, predicted), right / np.maximum(1, support), 2 * right / np.maximum(1, support + predicted)
    return list(zip(*(score.round(4).tolist() for score in scores), support.tolist(), strict=True))
