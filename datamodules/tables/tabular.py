"""Tables: small sets of scikit-learn, or a CSV file of numbers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import Batch
from datamodules.core.labelled_sets import check_class_column, check_several_classes, number_classes, sorted_classes
from datamodules.core.seen import identities_of_rows, thin
from datamodules.core.table_files import csv_schema, read_csv, words_of
from zoo.errors import MissingFileError, ZooError, check_choice

_EMBEDDED = {  # name: number of features, classes (none for regression)
    "breast_cancer": (30, ("malignant", "benign")),
    "wine": (13, ("class_0", "class_1", "class_2")),
    "diabetes": (10, ()),
}
_LARGEST = 1e150  # squares of larger numbers, and so the deviation, are infinite


def scale_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (F,) of features (N, F) in float64.

    A constant feature has its value as mean and deviation 1, because the computed ones have rounding errors.
    """
    low, high = x.double().aminmax(dim=0)
    mean, std = x.double().mean(0), x.double().std(0, correction=0)
    return torch.where(low == high, low, mean), torch.where((low == high) | (std == 0), 1.0, std)


class Tabular(DataModule):
    """One row per sample, one column per feature, one target column.

    `source` is "breast_cancer", "wine" (classification), "diabetes" (regression, with a target in its own units), or the path
    of a CSV file with a header. `target` names its target column; all other columns must be numbers. A column without a name is
    left out, because pandas writes row numbers that way. A target of text, of whole numbers, or of at most 20 different whole
    numbers written as 1.0, means classification, unless `task` says otherwise. 20 % are held out for the test, then
    `val_fraction` of the rest. Features are standardised by the training rows alone, in float64, because float32 cannot tell
    Unix times of one day apart. `target_mean` and `target_std` are the scale of the training rows' targets. With `balance`,
    training serves all classes equally often.

    The constructor reads the header of a CSV file, and its target column, because only this column tells the task and the
    classes. `setup` reads the rest.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: naming the file and the column that is wrong.
    """

    def __init__(
        self,
        source: str = "breast_cancer",
        target: str | None = None,
        task: Literal["classification", "regression"] | None = None,
        batch_size: int = 32,
        balance: bool = False,
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
            self.classes_by_name = True
            num_features, words = len(self.feature_names), self._target_words()
            if task == "classification" or (task is None and self._holds_classes(words)):
                check_class_column(Path(source), str(target), words, ",")
                self.class_names = sorted_classes(words)
        self.input_shape = (num_features,)
        if self.class_names:
            self.num_classes, self.balance = len(self.class_names), balance
        elif balance:
            raise ZooError("balance is for classes, but the target of a regression has none: leave out data.balance")
        else:
            self.num_targets = 1

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        for part, split in self.splits.items():
            if self.num_targets and len(split.rows) < 2:  # The explained variance is not defined for one row.
                raise ZooError(f"{self.source} leaves {len(split.rows)} row for {part}, regression needs 2 or more: add rows")
        (_, y, _), rows = self.splits.get("train", self.splits["test"])  # New data take over the scale of the checkpoint.
        if self.num_targets:
            self.target_mean, self.target_std = y[rows].mean(0), y[rows].std(0, correction=0)
            if y[rows].min() == y[rows].max():
                raise ZooError(f"the target of {self.source!r} is constant in the training rows: choose another target")
        elif stage in (None, "fit"):
            check_several_classes(y[rows], self.class_names, self.source)
        self.notes.append(f"{self.source}: {len(y):,} rows of {self._x.shape[1]} features")
        constant = (self._x[rows] == self._x[rows[0]]).all(0).nonzero()[:, 0].tolist()
        if constant and self.feature_names:
            self.notes.append(f"constant and so useless in train: {', '.join(self.feature_names[place] for place in constant)}")
        self._standardise(*scale_of(self._x[rows]))

    def transform(self, batch: Batch, epoch: int, train: bool) -> Batch:
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the columns and the scale."""
        scale = {"mean": torch.tensor(self.mean, dtype=torch.float64), "std": torch.tensor(self.std, dtype=torch.float64)}
        return {**super().state_dict(), "feature_names": list(self.feature_names), **scale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the checkpoint's scale, so that another file with the same columns is scaled as the training rows were.

        Raises:
            ZooError: if the columns or the classes differ.
        """
        super().load_state_dict(state_dict)
        if state_dict["feature_names"] != list(self.feature_names):
            raise ZooError(
                f"the checkpoint has the columns {', '.join(state_dict['feature_names'])}, "
                f"but {self.source} has {', '.join(self.feature_names)}: bring them into this order"
            )
        # An exported file holds lists.
        self._standardise(*(torch.as_tensor(state_dict[name], dtype=torch.float64) for name in ("mean", "std")))

    def load(self, part: Literal["train", "test"]) -> Arrays:
        if self.source in _EMBEDDED:
            import sklearn.datasets

            x, y = getattr(sklearn.datasets, f"load_{self.source}")(return_X_y=True)
        else:
            table = read_csv(Path(self.source))
            x = np.stack([self._numbers(table, name) for name in self.feature_names], axis=1)
            if self.class_names:
                y = number_classes(self._target_words(), self.class_names).numpy()
            else:
                y = self._numbers(table, str(self.target))
                error, spread = np.abs(y - y.astype(np.float32)).max(), np.ptp(y)
                if error > 1e-3 * spread > 0:
                    raise ZooError(
                        f"the target {self.target!r} of {self.source} varies too little for its size: range {spread:.2g}, "
                        f"but float32 rounds it by up to {error:.2g}; subtract {y.min():.10g} in the file"
                    )
        targets = torch.from_numpy(y).long() if self.class_names else torch.from_numpy(y).float()[:, None]
        self._x = torch.from_numpy(x).double()
        return Arrays(self._x, targets)

    def identify(self, samples: Split, most: int | None = None) -> list[int]:
        """Return a number for each row. It does not depend on the scale."""
        rows = thin(samples.rows, most)
        return identities_of_rows(self._x[rows], samples.arrays.y[rows])

    def _standardise(self, mean: Tensor, std: Tensor) -> None:
        """Standardise the features by this scale, in float32."""
        self.mean, self.std = tuple(mean.tolist()), tuple(std.tolist())
        x = ((self._x - mean) / std).float()
        self.splits = {part: Split(arrays._replace(x=x), rows) for part, (arrays, rows) in self.splits.items()}

    def _features(self) -> tuple[str, ...]:
        """Read the header, and return its columns without the target."""
        path = Path(self.source)
        if not path.is_file():
            raise MissingFileError(f"no CSV file {self.source!r}: give a path, or one of {', '.join(_EMBEDDED)}")
        columns = csv_schema(path).names
        names = [name for name in columns if not re.fullmatch(r"\s*|Unnamed: \d+", name)]
        if left_out := [str(place) for place, name in enumerate(columns, start=1) if name not in names]:
            self.notes.append(f"left out, because it has no name: column {', '.join(left_out)}")
        if len(set(names)) < len(names):
            raise ZooError(f"{self.source} names a column twice: {', '.join(names)}")
        if self.target not in names:
            raise ZooError(f"{self.source} has no column {self.target!r}: set target to one of {', '.join(names)}")
        if len(names) == 1:
            raise ZooError(f"{self.source} has no column besides the target {self.target!r}")
        return tuple(name for name in names if name != self.target)

    def _target_words(self) -> list[str]:
        """Read the target column as text."""
        words = words_of(Path(self.source), str(self.target), ",")
        if not words:
            raise ZooError(f"{self.source} has a header but no rows: add samples")
        found = [word for word in words if word is not None]
        if num_empty := len(words) - len(found):
            raise ZooError(f"column {self.target!r} of {self.source} has {num_empty} empty cell(s)")
        return found

    def _holds_classes(self, words: Sequence[str]) -> bool:
        """Return whether target values are classes: text, whole numbers, or few whole numbers written as decimals."""
        if not pa.types.is_floating(read_csv(Path(self.source), columns=[str(self.target)])[0].type):
            return True
        return len(found := set(words)) <= 20 and all(float(word).is_integer() for word in found)

    def _numbers(self, table: pa.Table, name: str) -> np.ndarray:
        column = table[name]
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise ZooError(f"column {name!r} of {self.source} holds {column.type}, expected numbers: encode or remove it")
        if column.null_count:
            raise ZooError(f"column {name!r} of {self.source} has {column.null_count} empty cell(s): fill or remove them")
        numbers = column.to_numpy().astype(np.float64)  # a copy, because the memory of Arrow is read-only
        if len(numbers) and not np.abs(numbers).max() < _LARGEST:
            raise ZooError(
                f"column {name!r} of {self.source} holds numbers that are infinite or above {_LARGEST}: replace them"
            )
        return numbers
