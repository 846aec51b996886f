"""Labelled data sets in table files: their parts by the names of the files, and their classes."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.core.files import reading
from datamodules.core.splits import without_lone_validation
from datamodules.core.table_files import schema
from zoo.errors import ZooError

_PARTS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test", "eval": "test"}


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
        ZooError: if there is no candidate, or several. The message names the setting that chooses.
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


def classes(labels: Sequence[Any], names: Sequence[str], column: str, name: Callable[[int], str]) -> tuple[Tensor, list[str]]:
    """Number the classes (N,) from 0 and return their names. Without `names`, classes are sorted by their values.

    Raises:
        ZooError: naming a sample, by `name` of its position, whose label is missing, is a list, or is outside of `names`.
    """
    for position, label in enumerate(labels):
        if label is None or label == "" or isinstance(label, list | dict):
            raise ZooError(f"{name(position)} has {label!r} for {column}: expected one class, a number or a word")
        if names and not (isinstance(label, int) and 0 <= label < len(names)):
            raise ZooError(
                f"{column} must lie in 0..{len(names) - 1}, found {label} in {name(position)}: "
                "some sets hide the labels of their test part"
            )
    if names:
        return torch.tensor(labels), list(names)
    words = [position for position, label in enumerate(labels) if isinstance(label, str)]
    if words and len(words) < len(labels):
        other = next(position for position, label in enumerate(labels) if not isinstance(label, str))
        raise ZooError(
            f"{column} is {labels[words[0]]!r} in {name(words[0])}, but {labels[other]!r} in {name(other)}: "
            "expected words in all files, or numbers in all"
        )
    found = sorted(set(labels))
    number = {value: place for place, value in enumerate(found)}
    return torch.tensor([number[label] for label in labels]), [str(value) for value in found]
