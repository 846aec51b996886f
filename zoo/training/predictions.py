"""What the model said of every sample: a table after test and predict, a confusion matrix after test."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.training.reporting import gathered, log_pictures, log_table, writes

Columns = dict[str, Tensor]  # position (N,), preds or code (N, ...), and after test target (N, ...)


class Predictions(Callback):
    """Writes `predictions/test.csv` or `predictions/predict.csv`, and `pictures/confusion_matrix.png`.

    Samples of all ranks stand in one table, in the order of their positions. W&B gets the table and the matrix.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._parts: list[Columns] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if outputs and "preds" in outputs and outputs["preds"].ndim <= 2:  # images are shown, not listed
            self._keep({"position": batch.position, "target": outputs["target"], "preds": outputs["preds"]})

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if "preds" not in outputs or outputs["preds"].ndim <= 2:
            self._keep(outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "predict")

    def _keep(self, columns: Columns) -> None:
        self._parts.append({name: value.detach().cpu() for name, value in columns.items() if value.ndim})

    def _finish(self, trainer: Trainer, stage: str) -> None:
        parts, self._parts = gathered(trainer, self._parts), []
        if not parts or not writes(trainer):
            return
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        order = columns["position"].argsort()
        data = getattr(trainer, "datamodule", None)
        names = getattr(data, "class_names", ())
        header, rows = table({name: value[order] for name, value in columns.items()}, names)
        if (files := getattr(data, "files", None)) is not None:  # pictures have names
            header, rows = ["file", *header], [[files.name(row[0]), *row] for row in rows]
        if texts := getattr(data, "texts", None):
            header, rows = [*header, "text"], [[*row, texts[row[0]]] for row in rows]
        write_csv(self.run_dir / "predictions" / f"{stage}.csv", header, rows)
        log_table(trainer, f"{stage}/predictions", header, rows)
        if stage == "test" and names:
            column = header.index("prediction"), header.index("target")
            predicted, truth = ([names.index(row[c]) for row in rows] for c in column)
            path = self.run_dir / "pictures" / "confusion_matrix.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            confusion_figure(confusion_matrix(truth, predicted, len(names)), names).savefig(path, dpi=120)
            log_pictures(trainer, "test/confusion_matrix", [str(path)])


def table(columns: Columns, class_names: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows. Classes by name, with the probability of the predicted one; codes, and regressions, as numbers."""
    preds = columns["code" if "code" in columns else "preds"].float()
    if "code" in columns or not class_names:
        named = {
            "position": columns["position"],
            **({"target": columns["target"]} if "target" in columns else {}),
            "code" if "code" in columns else "prediction": preds,
        }
        flat = {name: value.reshape(len(value), -1) for name, value in named.items()}
        header = [name if value.shape[1] == 1 else f"{name}_{i}" for name, value in flat.items() for i in range(value.shape[1])]
        return header, [list(row) for row in zip(*(c.tolist() for v in flat.values() for c in v.unbind(1)), strict=True)]
    probability = preds.softmax(1) if preds.ndim == 2 else torch.stack([1 - preds, preds], 1)
    confidence, predicted = probability.max(1)
    rows: list[list[Any]] = [
        [position, class_names[p], round(c, 4)]
        for position, p, c in zip(columns["position"].tolist(), predicted.tolist(), confidence.tolist(), strict=True)
    ]
    if "target" not in columns:
        return ["position", "prediction", "confidence"], rows
    for row, target in zip(rows, columns["target"].tolist(), strict=True):
        row.insert(1, class_names[target])
    return ["position", "target", "prediction", "confidence"], rows


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    """Write beside, then rename, so that nobody reads half a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def confusion_matrix(truth: Sequence[int], predicted: Sequence[int], num_classes: int) -> np.ndarray:
    """(K, K) counts: row the true class, column the predicted one."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(truth), np.asarray(predicted)), 1)
    return counts


def confusion_figure(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """A confusion matrix as a picture: shade is the share of the true class, the number a count."""
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    size = max(4.0, 0.55 * len(names) + 1.5)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(names) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=shade)
    return figure
