"""Forecasting: windows of a series of numbers, with parts that are split by time.

Shapes: L values of the series, W windows, B batch, T steps of context, H steps of horizon, C channels.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from datamodules.core.base import Arrays, DataModule, Split
from datamodules.core.batch import SequenceBatch, valid_steps
from datamodules.core.files import reading, utf8
from datamodules.core.sources import mirror, nearby
from zoo.errors import MissingFileError, ZooError, check_choice

_EMBEDDED = "mackey_glass"
_NUM_EMBEDDED = 5000
_MISSING = ("", "na", "nan", "null")  # cells without a number, in lower case
_GAP = 1.5  # times the median distance between rows, beyond which rows are missing; months differ by less
_SHOWN = 3  # gaps that a note names
_COARSE = 0.01  # standard deviations between neighbouring float32 numbers, beyond which a series is refused


class StandardizeSteps:
    """Scale values (B, T, C) to zero mean and unit standard deviation per channel. Padding stays 0."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, batch: SequenceBatch, epoch: int, train: bool) -> SequenceBatch:
        x = batch.x
        if self._mean.device != x.device:
            self._mean, self._std = self._mean.to(x.device), self._std.to(x.device)
        return batch._replace(x=torch.where(valid_steps(x, batch.lengths)[:, :, None], (x - self._mean) / self._std, 0))


class Series(DataModule):
    """Windows of one series: `context` values as input, and the `horizon` values after them as targets.

    `source` is "mackey_glass", 5,000 values of a chaotic equation that need no download, or a CSV file with a header and one
    row per step: a path, also below `ZOO_DATA`. Rows have to be in the order of time. Times are a year, YYYY-MM, YYYY-MM-DD,
    YYYYMMDD, or a date with a time of day (in UTC, unless it has a time zone).

    The last `test_fraction` of the values tests, the last `val_fraction` of the rest validates. All targets of a window lie
    within its part. The context of a window may start in the part before, as it would in use. All scales are measured on the
    training part: `mean` and `std` per channel normalise the inputs. Targets stay in their own units; `target_mean` and
    `target_std` (H C,) are their scale, and `naive_mae` (H C,) is the mean absolute difference of consecutive values. Values
    that were filled in are not used for these, and windows with such a value among their targets are left out.

    Targets are flattened to (B, H C): all channels of the first step, then of the second.

    If `columns` is not given, the constructor reads the header of the file. `setup` reads the values.

    Args:
        time: column of the times; None means the first column.
        columns: columns that are inputs and targets; None means all except the times.
        fill: "interpolate" fills missing values linearly, from the last known value to the next. The last steps of a context
            may then depend on a later value. Without it, missing values are refused.
        gaps: what happens to windows that cross a gap, where the time between two rows is more than 1.5 times the median.
            "split" leaves them out. "join" keeps them, for series with irregular times, such as trading days.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: naming the file and the line or column that is wrong, or the part that is too short for two windows.
    """

    num_targets: int
    horizon: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(
        self,
        source: str = _EMBEDDED,
        time: str | None = None,
        columns: Sequence[str] | None = None,
        context: int = 64,
        horizon: int = 1,
        fill: Literal["interpolate"] | None = None,
        gaps: Literal["split", "join"] = "split",
        batch_size: int = 64,
        val_fraction: float = 0.2,
        test_fraction: float = 0.2,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
        if context < 1 or horizon < 1:
            raise ZooError(f"context and horizon must be at least 1 step, got {context} and {horizon}")
        for name, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
            if not 0 < fraction < 1:
                raise ZooError(f"{name} must lie between 0 and 1, got {fraction}")
        if fill is not None:
            check_choice("fill", fill, ("interpolate",))
        check_choice("gaps", gaps, ("split", "join"))
        self.source, self.time, self.context, self.horizon = source, time, context, horizon
        self.fill, self.gaps = fill, gaps
        if source == _EMBEDDED:
            if time is not None or columns is not None or fill is not None:
                raise ZooError(f"time, columns and fill are for CSV files: {source!r} has one column and no gaps")
            columns = ("x",)
        elif columns is None:
            path = find(source)
            header = _header(_rows(path), path)
            columns = [name for name in header if name != (time or header[0])]
        if not columns:
            raise ZooError(f"{source} has no column of values: expected one beside the time's")
        self.columns = tuple(columns)
        self.input_shape = (context, len(self.columns))
        self.num_targets = horizon * len(self.columns)
        self.target_names = tuple(f"{column}+{step}" for step in range(1, horizon + 1) for column in self.columns)

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        windows = self._checked("train")
        num_values = len(windows.y) + self.context + self.horizon - 1
        assert self.test_fraction is not None
        test = num_values - round(num_values * self.test_fraction)
        val = test - round(test * self.val_fraction)
        usable = self._usable()
        first = torch.arange(len(windows.y)) + self.context  # index of a window's first target
        parts = [("train", 0, val), ("val", val, test), ("test", test, num_values)]
        if self.is_new(Split(windows, torch.arange(len(windows.y)))):
            parts, val = [("test", 0, num_values)], num_values
        for part, low, high in parts:
            inside = (first >= low) & (first + self.horizon <= high)
            rows = (inside & usable).nonzero()[:, 0]
            if len(rows) < 2:  # The explained variance is not defined for one window.
                left_out = int((inside & ~usable).sum())
                raise ZooError(
                    f"{self.source}: the {part} part of {high - low} values is too short for two windows with context "
                    f"{self.context} and horizon {self.horizon}: shorten them, or change the fractions"
                    + (f"; {left_out} windows are left out: {'; '.join(self.notes)}" if left_out else "")
                )
            self.splits[part] = Split(windows, rows)
        if left_out := int((~usable).sum()):
            self.notes.append(f"{left_out:,} of {len(usable):,} windows are left out")
        known = [column[seen] for column, seen in zip(self._values[:val].T, self._observed[:val].T, strict=True)]
        for name, column in zip(self.columns, known, strict=True):
            if column.min() == column.max():
                raise ZooError(f"column {name!r} of {self.source} is constant in the training part: leave it out")
            check_resolution(column, f"column {name!r} of {self.source}")
        self._normalise([float(column.mean()) for column in known], [float(column.std(correction=0)) for column in known])
        self.target_mean, self.target_std = (torch.tensor(values).repeat(self.horizon) for values in (self.mean, self.std))
        pairs = self._follows[: val - 1, None] & self._observed[1:val] & self._observed[: val - 1]
        if not pairs.any(0).all():
            raise ZooError(
                f"{self.source} has no two consecutive values in the training part: set data.gaps to join, or data.fill"
            )
        change = torch.where(pairs, self._values[:val].diff(dim=0).abs(), 0).sum(0) / pairs.sum(0)
        self.naive_mae = change.float().repeat(self.horizon)

    def _usable(self) -> Tensor:
        """Mark the windows (W,) that do not cross a gap and whose targets were all observed."""
        size = self.context + self.horizon
        targets = self._observed[self.context :].all(1).unfold(0, self.horizon, 1).all(1)
        return targets & self._follows.unfold(0, size - 1, 1).all(1)

    def load(self, part: Literal["train", "test"]) -> Arrays:
        if self.source == _EMBEDDED:
            values = torch.from_numpy(mackey_glass(_NUM_EMBEDDED))[:, None]
            self._observed = torch.ones_like(values, dtype=torch.bool)
            self._follows = self._observed[1:, 0]
        else:
            values = torch.from_numpy(self._read())
        if len(values) < self.context + self.horizon:
            raise ZooError(
                f"{self.source} has {len(values)} rows, too few for a window with context {self.context} and horizon "
                f"{self.horizon}"
            )
        self._values = values  # (L, C) float64
        windows = values.float().unfold(0, self.context + self.horizon, 1).movedim(1, 2)  # (W, T + H, C), a view
        lengths = torch.full((len(windows),), self.context)
        return Arrays(windows[:, : self.context], windows[:, self.context :].flatten(1), lengths)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data, including the columns and the scale."""
        return {**super().state_dict(), "columns": list(self.columns), "mean": list(self.mean), "std": list(self.std)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the checkpoint's scale, so that newer values are scaled as the training part was.

        Raises:
            ZooError: if the columns differ.
        """
        super().load_state_dict(state_dict)
        if state_dict["columns"] != list(self.columns):
            raise ZooError(
                f"the checkpoint has the columns {', '.join(state_dict['columns'])}, "
                f"but {self.source} has {', '.join(self.columns)}: set columns to those of the checkpoint"
            )
        self._normalise(state_dict["mean"], state_dict["std"])

    def _normalise(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = tuple(mean), tuple(std)
        self.transform = StandardizeSteps(self.mean, self.std)

    def _read(self) -> np.ndarray:
        """Read the chosen columns (L, C) in the order of time, and note which values and which rows are missing."""
        path = find(self.source)
        rows = _rows(path)
        header = _header(rows, path)
        time = header[0] if self.time is None else self.time
        for name in (time, *self.columns):
            if name not in header:
                raise ZooError(f"{path} has no column {name!r}: it has {', '.join(header)}")
        places = [header.index(name) for name in self.columns]
        lines: list[int] = []
        times: list[tuple[datetime, str]] = []
        values: list[list[float]] = []
        for line, cells in rows:
            if not cells:
                continue
            where = f"line {line} of {path}"
            if len(cells) != len(header):
                raise ZooError(f"{where} has {len(cells)} cells, expected {len(header)} as in the header")
            text = cells[header.index(time)].strip()
            now = instant(text, f"{where}, column {time!r}")
            if times and now <= times[-1][0]:
                what = "the same time as" if now == times[-1][0] else "earlier than"
                raise ZooError(f"{where}: {text} is {what} {times[-1][1]} on line {lines[-1]}: sort by {time!r}, each once")
            lines.append(line)
            times.append((now, text))
            values.append([_number(cells[place], f"{where}, column {header[place]!r}") for place in places])
        numbers = np.array(values, dtype=np.float64).reshape(-1, len(places))
        self._observed = torch.from_numpy(~np.isnan(numbers))
        self._follows = self._find_gaps(times, lines)
        for column, name in zip(numbers.T, self.columns, strict=True):
            self._fill(column, name, lines, path)
        return numbers

    def _fill(self, column: np.ndarray, name: str, lines: list[int], path: Path) -> None:
        """Fill missing values in place, or refuse them."""
        missing = np.isnan(column)
        if not missing.any():
            return
        line = lines[int(missing.argmax())]
        if self.fill is None:
            raise ZooError(
                f"line {line} of {path}, column {name!r}: no number, as in {missing.sum()} line(s): "
                "set fill to 'interpolate', or complete them"
            )
        if missing[0] or missing[-1]:
            line = line if missing[0] else lines[-1]
            raise ZooError(f"line {line} of {path}, column {name!r}: no number at this end of the series: cut the line off")
        step = np.arange(len(column))
        column[missing] = np.interp(step[missing], step[~missing], column[~missing])
        self.notes.append(f"column {name!r}: {missing.sum()} values are filled in, the first on line {line}; none is a target")

    def _find_gaps(self, times: Sequence[tuple[datetime, str]], lines: Sequence[int]) -> Tensor:
        """Mark the rows (L - 1,) that follow the row before without a gap in time, and note the places of gaps."""
        distances = torch.tensor([(after - before).total_seconds() for (before, _), (after, _) in pairwise(times)])
        gap = distances > _GAP * distances.median() if len(distances) else torch.zeros(0, dtype=torch.bool)
        if places := gap.nonzero()[:, 0].tolist():
            shown = [f"{times[place][1]} and {times[place + 1][1]} (line {lines[place + 1]})" for place in places[:_SHOWN]]
            more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
            effect = (
                "no window crosses them (set data.gaps to join to allow it)" if self.gaps == "split" else "windows cross them"
            )
            self.notes.append(f"gaps in time between {', between '.join(shown)}{more}: {effect}")
        return ~gap if self.gaps == "split" else torch.ones_like(gap)


def check_resolution(values: Tensor, name: str) -> None:
    """Raise if numbers (N,) float64 vary by less than float32 can resolve at their size. Constants pass.

    Raises:
        ZooError: with `name`.
    """
    deviation = float(values.std(correction=0))
    spacing = float(np.spacing(np.float32(values.abs().max())))
    if values.min() < values.max() and spacing > _COARSE * deviation:
        raise ZooError(
            f"{name} varies by {deviation:.3g} around {float(values.mean()):.9g}, where neighbouring float32 numbers are "
            f"{spacing:.3g} apart: subtract a constant from it"
        )


def find(source: str) -> Path:
    """Return the file at a path, or at this path below `ZOO_DATA`.

    Raises:
        MissingFileError: if neither exists.
    """
    if path := nearby(source):
        return path
    raise MissingFileError(
        f"no CSV file {source!r} here or under ZOO_DATA ({mirror() or 'not set'}): give its path, or {_EMBEDDED!r}, "
        "which needs none"
    )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's last line, and its cells."""
    with reading(path, "CSV"), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except UnicodeDecodeError:
            utf8(path)  # Raises the error that names the byte.
            raise
        except csv.Error as error:
            raise ZooError(f"cannot read line {reader.line_num} of {path} as CSV: {error}") from error


def _header(rows: Iterator[tuple[int, list[str]]], path: Path) -> list[str]:
    """Read the first of a file's rows."""
    _, header = next(rows, (0, list[str]()))
    if len(header) < 2 or len(set(header)) < len(header):
        raise ZooError(f"{path}: expected a header with a column of times and others, all with different names, got {header}")
    return header


def instant(text: str, where: str) -> datetime:
    """Parse a time, in UTC if it has no time zone.

    Raises:
        ZooError: if the cell is not a time; `where` names the cell.
    """
    whole = text + {4: "-01-01", 7: "-01"}.get(len(text), "") if re.fullmatch(r"\d{4}(-\d\d)?", text) else text
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        raise ZooError(
            f"{where}: {text!r} is not a time: expected a year, YYYY-MM, YYYY-MM-DD, YYYYMMDD or YYYY-MM-DD HH:MM:SS"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _number(text: str, where: str) -> float:
    """Parse a number; NaN if it is missing."""
    if text.strip().lower() in _MISSING:
        return np.nan
    try:
        number = float(text)
    except ValueError:
        raise ZooError(f"{where}: expected a number, got {text!r}: leave the column out of columns, or encode it") from None
    if not np.isfinite(number):
        raise ZooError(f"{where}: expected a finite number, got {text!r}: replace it")
    return number


def mackey_glass(num_values: int, tau: int = 17, seed: int = 0, discard: int = 500) -> np.ndarray:
    """Solve x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t) (Mackey & Glass, 1977), one value per time unit: (L,).

    The series is chaotic for delays of 17 and more. It is solved by fourth-order Runge-Kutta in steps of 0.1. Delayed values
    between two steps come from the cubic Hermite interpolant. The past before the start is one value in [0.5, 1.5), drawn by
    `seed`. The first `discard` time units, which depend on it, are left out.
    """
    per_unit, step = 10, 0.1
    delay = tau * per_unit
    start = float(np.random.default_rng(seed).uniform(0.5, 1.5))
    x, between, slope_before = [start] * (delay + 1), [start] * delay, 0.0

    def slope(now: float, past: float) -> float:
        return 0.2 * past / (1 + past**10) - 0.1 * now

    for done in range((discard + num_values - 1) * per_unit):
        now, past, next_past = x[-1], x[done], x[done + 1]
        k1 = slope(now, past)
        if done:
            between.append((x[-2] + now) / 2 + step / 8 * (slope_before - k1))
        k2 = slope(now + step / 2 * k1, between[done])
        k3 = slope(now + step / 2 * k2, between[done])
        k4 = slope(now + step * k3, next_past)
        x.append(now + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope_before = k1
    return np.array(x[delay + discard * per_unit :: per_unit])
