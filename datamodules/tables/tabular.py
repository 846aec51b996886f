"""Tables: small sets of scikit-learn, or a CSV file of numbers."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch
from datamodules.core.table_files import csv_schema, read_csv
from zoo.errors import MissingFileError, ZooError, check_choice

_EMBEDDED = {  # name: number of features, classes (none for regression)
    "breast_cancer": (30, ("malignant", "benign")),
    "wine": (13, ("class_0", "class_1", "class_2")),
    "diabetes": (10, ()),
}


class Standardize:
    """Scale features (B, F) to zero mean and unit standard deviation. A constant feature becomes 0."""

    def __init__(self, x: Tensor) -> None:
        exact = x.double()  # In float32 the mean of a constant is rounded, so that its deviation is not 0.
        self.mean, self.std = exact.mean(0).float(), exact.std(0, correction=0).float()
        self.std[self.std == 0] = 1.0

    def __call__(self, batch: Batch, epoch: int, train: bool) -> Batch:
        if self.mean.device != batch.x.device:
            self.mean, self.std = self.mean.to(batch.x.device), self.std.to(batch.x.device)
        return batch._replace(x=(batch.x - self.mean) / self.std)


class Tabular(DataModule):
    """One row per sample, one column per feature, one target column.

    `source` is "breast_cancer", "wine" (classification), "diabetes" (regression, with a target in its own units), or the path
    of a CSV file with a header. `target` names its target column; all other columns must be numbers. A target of text or whole
    numbers means classification, unless `task` says otherwise. 20 % are held out for the test, then `val_fraction` of the
    rest. Features are standardised by the training rows alone. `target_mean` and `target_std` are the scale of the training
    rows' targets.

    The constructor reads the header of a CSV file, and its target column, because only this column tells the task and the
    classes. `setup` reads the rest.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: naming the file and the column that is wrong.
    """

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
        if task is not None:
            check_choice("task", task, ("classification", "regression"))
        if source in _EMBEDDED:
            if target is not None:
                raise ZooError(f"target is for CSV files; {source!r} has its own")
            num_features, self.class_names = _EMBEDDED[source]
            own_task = "classification" if self.class_names else "regression"
            if task not in (None, own_task):
                raise ZooError(f"{source!r} is a {own_task} set, got task={task!r}")
            self.feature_names: tuple[str, ...] = ()
        else:
            self.feature_names = self._features()
            column = self._target_column()
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
        for part, split in self.splits.items():
            if self.num_targets and len(split.rows) < 2:  # The explained variance is not defined for one row.
                raise ZooError(f"{self.source} leaves {len(split.rows)} row for {part}, regression needs 2 or more: add rows")
        (x, y, _), rows = self.splits.get("train", self.splits["test"])  # New data take over the scale of the checkpoint.
        self.transform = Standardize(x[rows])
        self.mean, self.std = tuple(self.transform.mean.tolist()), tuple(self.transform.std.tolist())
        if self.num_targets:
            self.target_mean, self.target_std = y[rows].mean(0), y[rows].std(0, correction=0)
            if not self.target_std.all():
                raise ZooError(f"the target of {self.source!r} is constant in the training rows: choose another target")

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the columns and the scale."""
        return {
            **super().state_dict(),
            "feature_names": list(self.feature_names),
            "mean": self.transform.mean.cpu(),
            "std": self.transform.std.cpu(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the checkpoint's scale, so that another file with the same columns is scaled as the training rows were.

        Raises:
            ZooError: if the columns or the classes differ.
        """
        super().load_state_dict(state_dict)
        if state_dict["feature_names"] != list(self.feature_names):
            raise ZooError(
                f"the checkpoint knows the columns {', '.join(state_dict['feature_names'])}, "
                f"but {self.source} has {', '.join(self.feature_names)}: bring them into this order"
            )
        # An exported file holds lists.
        self.transform.mean, self.transform.std = (torch.as_tensor(state_dict[name]) for name in ("mean", "std"))

    def load(self, part: Literal["train", "test"]) -> Arrays:
        if self.source in _EMBEDDED:
            import sklearn.datasets

            x, y = getattr(sklearn.datasets, f"load_{self.source}")(return_X_y=True)
        else:
            table = read_csv(Path(self.source))
            x = np.stack([self._numbers(table, name) for name in self.feature_names], axis=1)
            column = table[self.target]
            if self.class_names:
                number = {name: row for row, name in enumerate(self.class_names)}
                y = np.array([number[str(value)] for value in column.to_pylist()])
            else:
                y = self._numbers(table, str(self.target))
        targets = torch.from_numpy(y).long() if self.class_names else torch.from_numpy(y).float()[:, None]
        return Arrays(torch.from_numpy(x).float(), targets)

    def _features(self) -> tuple[str, ...]:
        """Read the header, and return its columns without the target."""
        path = Path(self.source)
        if not path.is_file():
            raise MissingFileError(f"no CSV file {self.source!r}: give a path, or one of {', '.join(_EMBEDDED)}")
        names = csv_schema(path).names
        if len(set(names)) < len(names):
            raise ZooError(f"{self.source} names a column twice: {', '.join(names)}")
        if self.target not in names:
            raise ZooError(f"{self.source} has no column {self.target!r}: set target to one of {', '.join(names)}")
        if len(names) == 1:
            raise ZooError(f"{self.source} has no column besides the target {self.target!r}")
        return tuple(name for name in names if name != self.target)

    def _target_column(self) -> pa.ChunkedArray:
        column = read_csv(Path(self.source), columns=[str(self.target)])[self.target]
        if not len(column):
            raise ZooError(f"{self.source} has a header but no rows: add samples")
        # Text columns hold "" for an empty cell, other columns hold null.
        if num_empty := sum(value in (None, "") for value in column.to_pylist()):
            raise ZooError(f"column {self.target!r} of {self.source} has {num_empty} empty cell(s)")
        return column

    def _numbers(self, table: pa.Table, name: str) -> np.ndarray:
        column = table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise ZooError(f"column {name!r} of {self.source} holds {column.type}, expected numbers: encode or remove it")
        if column.null_count:
            raise ZooError(f"column {name!r} of {self.source} has {column.null_count} empty cell(s): fill or remove them")
        numbers = column.to_numpy().astype(np.float64)  # a copy, because the memory of Arrow is read-only
        if not np.isfinite(numbers).all():
            raise ZooError(f"column {name!r} of {self.source} holds infinite numbers: replace or remove them")
        return numbers
