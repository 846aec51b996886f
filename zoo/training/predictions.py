"""Table with the prediction for every sample, written after test and predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.training.files import write_csv
from zoo.training.reporting import facts, gathered, log_table, writes

Columns = dict[str, Tensor]  # (N,) or (N, K) each: position, and others such as preds, target, code


@runtime_checkable
class _Positioned(Protocol):
    """A batch that knows the positions of its samples in the data set."""

    position: Tensor


class Predictions(Callback):
    """Writes `predictions/test.csv` or `predictions/predict.csv`, and sends the table to W&B.

    A row holds the "preds" and "target" that `test_step` returned for a sample, or all outputs of `predict_step`. Only numbers
    and vectors are written: images are reported as pictures. Samples of all ranks are in one table, sorted by position.

    There is no table if the outputs are not a mapping of tensors, or the positions of the samples are unknown.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._parts: list[Columns] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if isinstance(outputs, Mapping) and isinstance(batch, _Positioned):
            columns = {name: outputs[name] for name in ("target", "preds") if name in outputs}
            self._keep({"position": batch.position, **columns})

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if isinstance(outputs, Mapping) and "position" in outputs:
            self._keep(outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "test")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, "predict")

    def _keep(self, columns: Mapping[str, Tensor]) -> None:
        kept = {name: value.detach().cpu() for name, value in columns.items() if value.ndim in (1, 2)}
        if kept.keys() - {"position", "target"}:
            self._parts.append(kept)

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
    """Return header and rows: for classifiers the predicted class and its probability, otherwise all outputs as numbers."""
    if "preds" not in columns or not class_names:
        others = {name: value.float() for name, value in columns.items() if name not in ("position", "target")}
        named = {
            "position": columns["position"],
            **({"target": columns["target"]} if "target" in columns else {}),
            **{"prediction" if name == "preds" else name: value for name, value in others.items()},
        }
        flat = {name: value.reshape(len(value), -1) for name, value in named.items()}
        header = [name if value.shape[1] == 1 else f"{name}_{i}" for name, value in flat.items() for i in range(value.shape[1])]
        return header, [list(row) for row in zip(*(c.tolist() for v in flat.values() for c in v.unbind(1)), strict=True)]
    preds = columns["preds"].float()
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
