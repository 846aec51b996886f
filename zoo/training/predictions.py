"""Table with the prediction for every sample, written after test and predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow
import torch
from lightning import Callback, LightningModule, Trainer
from pyarrow.parquet import write_table
from torch import Tensor

from zoo.metrics.tasks import class_probabilities
from zoo.training.files import atomic, write_csv
from zoo.training.reporting import facts, gathered, log_table, writes

MOST_COLUMNS = 100  # classes with a column in the CSV file
Columns = dict[str, Tensor]  # (N,) or (N, K) each: position, and others such as preds, target, code


@runtime_checkable
class _Positioned(Protocol):
    """A batch that knows the positions of its samples in the data set."""

    position: Tensor


class Predictions(Callback):
    """Writes `predictions/test.csv` or `predictions/predict.csv`, and sends the table to W&B.

    A row holds the "preds" and "target" that `test_step` returned for a sample, or all outputs of `predict_step`. Only numbers
    and vectors are written: images are reported as pictures. Samples of all ranks are in one table, sorted by position.

    A classifier's table ends with the probabilities of all classes in columns p_<class>, which W&B does not get. If there are
    more than 100 classes, these columns are in `test_probabilities.parquet` or `predict_probabilities.parquet` instead.

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
        columns = {name: value[order] for name, value in columns.items()}
        data = facts(trainer)
        header, rows = table(columns, data.class_names)
        if data.files is not None:
            header, rows = ["file", *header], [[data.files.name(row[0]), *row] for row in rows]
        if data.texts:
            header, rows = [*header, "text"], [[*row, data.texts[row[0]]] for row in rows]
        log_table(trainer, f"{stage}/predictions", header, rows)
        folder = self.run_dir / "predictions"
        probabilities = probabilities_of(columns, data.class_names)
        if len(probabilities) <= MOST_COLUMNS:
            header, rows = _beside(header, rows, probabilities)
        else:
            with atomic(folder / f"{stage}_probabilities.parquet") as partial:
                write_table(pyarrow.table({"position": columns["position"].numpy(), **probabilities}), partial)
        write_csv(folder / f"{stage}.csv", header, rows)


def probabilities_of(columns: Columns, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the probability (N,) of each class, rounded to six decimals, as p_<class>. Empty without classes."""
    if "preds" not in columns or not class_names:
        return {}
    probabilities = class_probabilities(columns["preds"]).double().numpy().round(6)
    return {f"p_{name}": probabilities[:, number] for number, name in enumerate(class_names)}


def _beside(header: list[str], rows: list[list[Any]], more: Mapping[str, np.ndarray]) -> tuple[list[str], list[list[Any]]]:
    """Append columns to a table."""
    columns = [values.tolist() for values in more.values()]
    return [*header, *more], [[*row, *(column[place] for column in columns)] for place, row in enumerate(rows)]


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
    confidence, predicted = class_probabilities(columns["preds"]).max(1)
    rows: list[list[Any]] = [
        [position, class_names[p], round(c, 4)]
        for position, p, c in zip(columns["position"].tolist(), predicted.tolist(), confidence.tolist(), strict=True)
    ]
    if "target" not in columns:
        return ["position", "prediction", "confidence"], rows
    for row, target in zip(rows, columns["target"].tolist(), strict=True):
        row.insert(1, class_names[target])
    return ["position", "target", "prediction", "confidence"], rows
