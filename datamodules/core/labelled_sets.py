"""Labelled data sets in table files: their parts by the names of the files, and their classes."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.core.files import reading
from datamodules.core.splits import without_lone_validation
from datamodules.core.table_files import read_csv, read_table, schema, words_of
from zoo.errors import ZooError

_PARTS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test", "eval": "test"}
_MOST_CLASSES = 20  # up to this many classes are accepted even if every row has its own


def find_parts(
    source: str, listing: Sequence[str], config: str | None, endings: tuple[str, ...] = (".parquet",)
) -> dict[str, list[str]]:
    """Group the files of a set by part, according to the word for the part in their names.

    If a set exists in several formats, the format that comes first in `endings` is used.

    Raises:
        ZooError: if there are no files for training, or if there are several sets and `config` does not choose one.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in sorted(listing):
        match = re.match(rf"(?:(.*)[/_-])?({'|'.join(_PARTS)})[/.-]", name)  # Greedy: the last such word in the name counts.
        if match and name.endswith(endings):
            found.setdefault(match[1] or ".", {}).setdefault(_PARTS[match[2]], []).append(name)
    sets = {folder: parts for folder, parts in found.items() if "train" in parts}
    if config is not None:
        sets = {folder: parts for folder, parts in sets.items() if folder == config}
    if not sets:
        raise ZooError(
            f"{source} has no {' or '.join(ending[1:] for ending in endings)} files for training"
            f"{f' under {config}' if config else ''}: it has "
            f"{', '.join(sorted(listing)[:5]) or 'no files'}; many sets have parquet files at "
            "--data.revision refs/convert/parquet"
        )
    if len(sets) > 1:
        raise ZooError(f"{source} holds several sets, choose one by data.config: {', '.join(sorted(sets))}")
    parts = next(iter(sets.values()))
    ending = next(ending for ending in endings if any(name.endswith(ending) for name in parts["train"]))
    same = {part: [name for name in names if name.endswith(ending)] for part, names in parts.items()}
    return without_lone_validation({part: names for part, names in same.items() if names})


def only_column(candidates: Sequence[str], kind: str, names: Sequence[str], path: Path) -> str:
    """Return the one column of `names` that could be the `kind` of column looked for, such as the label.

    Raises:
        ZooError: if there is no candidate, or several. The message names the setting to use.
    """
    if len(candidates) != 1:
        raise ZooError(
            f"{path.name} has {len(candidates)} columns that could be the {kind}: choose one by data.{kind}, "
            f"it has {', '.join(names)}"
        )
    return candidates[0]


def class_names_of(path: Path, label: str) -> list[str]:
    """Return the names that a parquet file's schema gives to numbered classes; none for other formats."""
    return list(features(path).get(label, {}).get("names", [])) if path.suffix.lower() == ".parquet" else []


def features(path: Path) -> dict[str, Any]:
    """Return what the `datasets` library wrote about the columns into a parquet file's schema."""
    metadata = (schema(path).metadata or {}).get(b"huggingface")
    with reading(path, "parquet"):
        return json.loads(metadata).get("info", {}).get("features", {}) if metadata else {}


def read_labels(path: Path, label: str, names: Sequence[str] = (), delimiter: str | None = None) -> list[str]:
    """Read the class of each row as text.

    Args:
        path: the file.
        label: its column of classes.
        names: class names for numbered classes, unless the schema of this file names them.
        delimiter: of a CSV file with an unusual ending.

    Raises:
        ZooError: naming a row without a class, or with a number that has no name.
    """
    labels, names = [], class_names_of(path, label) or names
    for row, word in enumerate(words_of(path, label, delimiter)):
        if word is None:
            raise ZooError(f"row {row} of {path.name} has no {label}: expected one class, a number or a word")
        if names and not (word.isdecimal() and int(word) < len(names)):
            raise ZooError(
                f"{label} must lie in 0..{len(names) - 1}, found {word} in row {row} of {path.name}: "
                "some sets hide the labels of their test part"
            )
        labels.append(names[int(word)] if names else word)
    return labels


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the different labels, sorted as numbers if all are numbers."""
    found = set(labels)
    try:
        return tuple(sorted(found, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(found))


def number_classes(labels: Iterable[str], class_names: Sequence[str]) -> Tensor:
    """Return the place of each label in `class_names`: (N,) int64. All labels have to be among them."""
    number = {name: place for place, name in enumerate(class_names)}
    return torch.tensor([number[label] for label in labels], dtype=torch.long)


def check_class_column(path: Path, label: str, labels: Sequence[str], delimiter: str | None = None) -> None:
    """Refuse a column with about one class per row, such as an id or a price.

    Args:
        path: the file.
        label: its column of classes.
        labels: the class of each row.
        delimiter: of a CSV file with an unusual ending.

    Raises:
        ZooError: naming columns of the file that could hold classes.
    """
    num_classes, num_rows = len(set(labels)), len(labels)
    if num_classes <= max(_MOST_CLASSES, num_rows / 2):
        return
    table = read_table(path) if delimiter is None else read_csv(path, delimiter)
    counts = {name: len(table[name].unique()) for name in table.column_names if name != label}
    likely = [name for name, count in counts.items() if 2 <= count <= max(_MOST_CLASSES, num_rows // 10)]
    raise ZooError(
        f"column {label!r} of {path} has {num_classes:,} classes in {num_rows:,} rows, about one per row: "
        f"choose a column of classes, such as {', '.join(likely[:5]) or '(none seems to be one)'}, or for numbers a regression"
    )


def check_several_classes(y: Tensor, names: Sequence[str], source: str) -> None:
    """Raise if there is only one class for training, because every model would be right.

    Raises:
        ZooError: naming the class.
    """
    if len(y) and bool((y == y[0]).all()):
        raise ZooError(f"{source} has only one class for training, {names[int(y[0])]!r}: add samples of another class")
