"""Tables: scikit-learn's small ones, or a CSV file of numbers."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from torch import Tensor

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch
from zoo.errors import MissingFileError, ZooError

_EMBEDDED = {  # name: features, classes (none: regression)
    "breast_cancer": (30, ("malignant", "benign")),
    "wine": (13, ("class_0", "class_1", "class_2")),
    "diabetes": (10, ()),
}


class Standardize:
    """Features to zero mean and unit deviation: (B, F) to (B, F). A constant feature becomes 0."""

    def __init__(self, x: Tensor) -> None:
        exact = x.double()  # in float32 a constant's mean is rounded, and its deviation is not 0
        self.mean, self.std = exact.mean(0).float(), exact.std(0, correction=0).float()
        self.std[self.std == 0] = 1.0

    def __call__(self, batch: Batch, epoch: int, train: bool) -> Batch:
        if self.mean.device != batch.x.device:
            self.mean, self.std = self.mean.to(batch.x.device), self.std.to(batch.x.device)
        return batch._replace(x=(batch.x - self.mean) / self.std)


class Tabular(DataModule):
    """One row per sample, one column per feature, one target column.

    `source` is "breast_cancer", "wine" (classification), "diabetes" (regression; its target is in its own units), or the
    path of a CSV file with a header, whose `target` column is named and whose other columns are all numbers. A target of
    text or whole numbers makes it classification, unless `task` says otherwise. 20 % test, then `val_fraction` of the rest
    validates; features are standardised by the training rows alone. After `setup`, `target_mean` and `target_std`
    (of the training rows) tell a regressor the target's scale.

    Raises:
        MissingFileError: for a CSV file that is not there.
        ZooError: naming the file and the column at fault.
    """

    num_targets: int | None = None
    transform: Standardize

    def __init__(
        self,
        source: str = "breast_cancer",
        target: str | None = None,
        task: Literal["classification", "regression"] | None = None,
        batch_size: int = 32,
        val_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, test_fraction=0.2, seed=seed, split_seed=split_seed)
        self.source, self.target = source, target
        if task not in (None, "classification", "regression"):
            raise ZooError(f"task must be 'classification' or 'regression', got {task!r}")
        if source in _EMBEDDED:
            if target is not None:
                raise ZooError(f"target is for CSV files; {source!r} has its own")
            num_features, self.class_names = _EMBEDDED[source]
            own_task = "classification" if self.class_names else "regression"
            if task not in (None, own_task):
                raise ZooError(f"{source!r} is a {own_task} set, got task={task!r}")
            self.feature_names: tuple[str, ...] = ()
        else:
            header, column = self._target_column()
            self.feature_names = tuple(name for name in header if name != target)
            num_features = len(self.feature_names)
            if task == "classification" or (task is None and not pa.types.is_floating(column.type)):
                self.class_names = tuple(map(str, sorted(column.unique().to_pylist())))
        self.input_shape = (num_features,)
        if self.class_names:
            self.num_classes = len(self.class_names)
        else:
            self.num_targets = 1

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        (x, y, _), rows = self.splits["train"]
        self.transform = Standardize(x[rows])
        self.mean, self.std = self.transform.mean.tolist(), self.transform.std.tolist()
        if self.num_targets:
            self.target_mean, self.target_std = y[rows].mean(0), y[rows].std(0, correction=0)
            if not self.target_std.all():
                raise ZooError(f"the target of {self.source!r} is the same number in every training row: nothing to learn")

    def state_dict(self) -> dict[str, Any]:
        """The columns and the scale that a checkpoint's model was trained on."""
        return {
            **super().state_dict(),
            "feature_names": list(self.feature_names),
            "mean": self.transform.mean.cpu(),
            "std": self.transform.std.cpu(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the checkpoint's scale, so that another file of the same columns is seen as the training rows were.

        Raises:
            ZooError: if the columns or the classes differ.
        """
        super().load_state_dict(state_dict)
        if state_dict["feature_names"] != list(self.feature_names):
            raise ZooError(
                f"the checkpoint knows the columns {', '.join(state_dict['feature_names'])}, "
                f"but {self.source} has {', '.join(self.feature_names)}: bring them into this order"
            )
        self.transform.mean, self.transform.std = state_dict["mean"], state_dict["std"]

    def load(self, part: Literal["train", "test"]) -> Arrays:
        if self.source in _EMBEDDED:
            import sklearn.datasets

            x, y = getattr(sklearn.datasets, f"load_{self.source}")(return_X_y=True)
        else:
            table = self._read()
            x = np.stack([self._numbers(table, name) for name in self.feature_names], axis=1)
            column = table[self.target]
            if self.class_names:
                number = {name: row for row, name in enumerate(self.class_names)}
                y = np.array([number[str(value)] for value in column.to_pylist()])
            else:
                y = self._numbers(table, str(self.target))
        targets = torch.from_numpy(y).long() if self.class_names else torch.from_numpy(y).float()[:, None]
        return Arrays(torch.from_numpy(x).float(), targets)

    def _read(self) -> pa.Table:
        try:
            return pa.csv.read_csv(self.source)
        except pa.ArrowInvalid as error:
            raise ZooError(f"cannot read {self.source} as CSV: {error}") from error

    def _target_column(self) -> tuple[list[str], pa.ChunkedArray]:
        """The header, and the one column that must be seen to know the classes."""
        if not Path(self.source).is_file():
            raise MissingFileError(f"no CSV file {self.source!r}: give a path, or one of {', '.join(_EMBEDDED)}")
        table = self._read()
        if len(set(table.column_names)) < len(table.column_names):
            raise ZooError(f"{self.source} names a column twice: {', '.join(table.column_names)}")
        if self.target not in table.column_names:
            raise ZooError(f"{self.source} has no column {self.target!r}: set target to one of {', '.join(table.column_names)}")
        if len(table.column_names) == 1:
            raise ZooError(f"{self.source} has no column besides the target {self.target!r}")
        column = table[self.target]
        if num_empty := sum(value in (None, "") for value in column.to_pylist()):  # text columns hold "", others null
            raise ZooError(f"column {self.target!r} of {self.source} has {num_empty} empty cell(s)")
        return table.column_names, column

    def _numbers(self, table: pa.Table, name: str) -> np.ndarray:
        column = table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise ZooError(f"column {name!r} of {self.source} holds {column.type}, expected numbers: encode or remove it")
        if column.null_count:
            raise ZooError(f"column {name!r} of {self.source} has {column.null_count} empty cell(s): fill or remove them")
        numbers = column.to_numpy().astype(np.float64)  # a copy of its own: Arrow's memory is read-only
        if not np.isfinite(numbers).all():
            raise ZooError(f"column {name!r} of {self.source} holds infinite numbers: replace or remove them")
        return numbers
