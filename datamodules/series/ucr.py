"""Time-series classification: sets from the UCR (Dau et al., 2019, arXiv:1810.07758) and UEA archives (arXiv:1811.00075)."""

import difflib
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import valid_steps
from datamodules.core.files import reading
from datamodules.core.sources import mirror
from datamodules.series.series import StandardizeSteps, check_resolution
from zoo.errors import MissingFileError, ZooError

_FILE = "timeseries/ucr_uea.npz"  # below ZOO_DATA
_FACTS = {  # steps of the longest series, channels, classes
    "ArrowHead": (251, 1, ("0", "1", "2")),
    "BasicMotions": (100, 6, ("Badminton", "Running", "Standing", "Walking")),
    "GunPoint": (150, 1, ("1", "2")),
    "ItalyPowerDemand": (24, 1, ("1", "2")),
    "JapaneseVowels": (29, 12, tuple("123456789")),
    "OSULeaf": (427, 1, tuple("123456")),
}


class UCR(DataModule):
    """Series with C channels and one class each, in the archive's own training and test parts.

    `val_fraction` of the training part validates, stratified by class. Channels are normalised by all steps of the training
    rows (`mean` and `std`, known after `setup`). Padding of shorter series stays 0. If `source` is given, the constructor reads
    the header of the training array and the names of the classes. `setup` reads the series.

    Args:
        name: name of the set.
        source: path of an npz file with NAME.x_train (N, C, T), NAME.len_train (N,) valid steps, NAME.y_train (N,) from 0
            on, the same arrays for test, and NAME.classes (K,). None means timeseries/ucr_uea.npz below `ZOO_DATA`.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: for a name that the file does not have, or naming the array that is wrong.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(
        self,
        name: str = "JapaneseVowels",
        source: str | None = None,
        batch_size: int = 32,
        val_fraction: float = 0.2,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, seed=seed, split_seed=split_seed)
        self.name, self.source = name, source
        if source is None:
            _check_name(name, list(_FACTS), "UCR")
            num_steps, num_channels, self.class_names = _FACTS[name]
        else:
            path = self._path()
            _check_name(name, [key.removesuffix(".x_train") for key in _keys(path) if key.endswith(".x_train")], source)
            _, num_channels, num_steps = _shape(path, f"{name}.x_train")
            self.class_names = tuple(map(str, _arrays(path, name, "classes")[0]))
        self.input_shape = (num_steps, num_channels)
        self.num_classes = len(self.class_names)

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        (x, _, lengths), rows = self.splits["train"]
        assert lengths is not None
        steps = x[rows][valid_steps(x, lengths)[rows]].double()  # without padding
        std = steps.std(0, correction=0)
        std[std == 0] = 1.0  # A constant channel becomes 0: sums of equal float32 numbers are exact in float64.
        self._normalise(steps.mean(0).tolist(), std.tolist())

    def load(self, part: Literal["train", "test"]) -> Arrays:
        path = self._path()
        values, steps, labels = _arrays(path, self.name, f"x_{part}", f"len_{part}", f"y_{part}")
        x = torch.from_numpy(values).float().movedim(1, 2).contiguous()  # (N, T, C)
        lengths, y = torch.from_numpy(steps).long(), torch.from_numpy(labels).long()
        if len(lengths) != len(x) or (len(x) and not 1 <= lengths.min() <= lengths.max() <= x.shape[1]):
            raise ZooError(
                f"{self.name}.len_{part} of {path}: expected a length in 1..{x.shape[1]} for each of {len(x)} series"
            )
        counts = valid_steps(x, lengths)
        if part == "train":
            for channel, exact in enumerate(torch.from_numpy(values).double().movedim(1, 2)[counts].T):
                check_resolution(exact, f"channel {channel} of {self.name} in {path}")
        if not x[counts].isfinite().all():
            raise ZooError(f"{self.name}.x_{part} of {path} has missing or infinite values: fill them in")
        return Arrays(torch.where(counts[:, :, None], x, 0), y, lengths)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the scale."""
        return {**super().state_dict(), "mean": list(self.mean), "std": list(self.std)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the checkpoint's scale, so that other series are scaled as the training rows were."""
        super().load_state_dict(state_dict)
        self._normalise(state_dict["mean"], state_dict["std"])

    def _normalise(self, mean: list[float], std: list[float]) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self.transform = StandardizeSteps(self.mean, self.std)

    def _path(self) -> Path:
        path = mirror(_FILE) if self.source is None else Path(self.source)
        if path is None or not path.is_file():
            tried = f"{_FILE} under ZOO_DATA ({mirror() or 'not set'})" if self.source is None else str(path)
            raise MissingFileError(
                f"UCR found no {tried}: set ZOO_DATA to a folder that holds {_FILE}, or source to the path of such a file"
            )
        return path


def _check_name(name: str, names: list[str], where: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2)
        raise ZooError(
            f"{where} has no set {name!r}: " + (f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names)}")
        )


def _keys(path: Path) -> list[str]:
    """List the names of a file's arrays."""
    with reading(path, "npz"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _shape(path: Path, key: str) -> tuple[int, ...]:
    """Read the shape of an array from its header alone."""
    with reading(path, "npz"), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        np.lib.format.read_magic(member)
        shape: tuple[int, ...] = np.lib.format.read_array_header_1_0(member)[0]
    if len(shape) != 3:
        raise ZooError(f"{key} of {path}: expected an array (N, C, T), got one of shape {shape}")
    return shape


def _arrays(path: Path, name: str, *endings: str) -> list[np.ndarray]:
    keys = _keys(path)
    if lacking := [f"{name}.{ending}" for ending in endings if f"{name}.{ending}" not in keys]:
        raise ZooError(f"{path} has no {lacking[0]}: a set consists of x, len and y of train and test, and its classes")
    with reading(path, "npz"), np.load(path) as file:
        return [file[f"{name}.{ending}"] for ending in endings]
