"""Table with the prediction for every sample, written after test and predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.training.files import write_csv
from zoo.training.reporting import facts, gathered, log_table, writes

Columns = dict[str, Tensor]  # position (N,); preds or code (N, ...); after test also target (N, ...)


class Predictions(Callback):
    """Writes `predictions/test.csv` or `predictions/predict.csv`, and sends the table to W&B.

    Each row holds one sample: the "preds" that `test_step` returned for it, or the tensors that `predict_step` returned.
    Predictions that are images are left out, because reports show them as pictures. The table holds the samples of all ranks,
    sorted by position.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._parts: list[Columns] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if isinstance(outputs, Mapping) and "preds" in outputs:  # a user's own module may return something else
            self._keep({"position": batch.position, "target": outputs["target"], "preds": outputs["preds"]})

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._keep(outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "predict")

    def _keep(self, columns: Columns) -> None:
        if all(value.ndim <= 2 for value in columns.values()):
            self._parts.append({name: value.detach().cpu() for name, value in columns.items() if value.ndim})

    def _finish(self, trainer: Trainer, stage: str) -> None:
        parts, self._parts = gathered(trainer, self._parts), []
        if not parts or not writes(trainer):
            return
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        order = columns["position"].argsort()
        data = facts(trainer)
        header, rows = table({name: value[order] for name, value in columns.items()}, data.class_names)
        if data.files is not None:
            header, rows = ["file", *header], [[data.files.name(row[0]), *row] for row in rows]
        if data.texts:
            header, rows = [*header, "text"], [[*row, data.texts[row[0]]] for row in rows]
        write_csv(self.run_dir / "predictions" / f"{stage}.csv", header, rows)
        log_table(trainer, f"{stage}/predictions", header, rows)


def table(columns: Columns, class_names: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """Build header and rows. Classes are named, with the probability of the prediction; regressions and codes are numbers."""
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
