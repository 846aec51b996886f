"""Tables of samples with classes: their parts, columns and classes, as the hub's files name them."""

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from torch import Tensor

from datamodules.core.sources import hub_file, hub_listing, utf8
from datamodules.core.splits import without_lone_validation
from zoo.errors import MissingFileError, ZooError

_PARTS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "dev": "val", "test": "test", "eval": "test"}


def find_parts(
    source: str, listing: Sequence[str], config: str | None, endings: tuple[str, ...] = (".parquet",)
) -> dict[str, list[str]]:
    """The files of each part with one of these endings, by the word for the part in their names.

    Where a set stands there in several formats, the first of `endings` counts.

    Raises:
        ZooError: if there are none for training, or several sets and no choice.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name in sorted(listing):
        match = re.match(rf"(?:(.*)[/_-])?({'|'.join(_PARTS)})[/.-]", name)  # greedy: the last such word in the name
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


def fetch_parts(
    source: str, revision: str, config: str | None, endings: tuple[str, ...] = (".parquet",)
) -> dict[str, list[Path]]:
    """The same files on this machine, from the mirror or the hub.

    Raises:
        MissingFileError: if they can't be had.
        ZooError: as `find_parts` does.
    """
    parts = find_parts(source, hub_listing(source, revision), config, endings)
    return {part: [hub_file(source, name, revision) for name in names] for part, names in parts.items()}


def class_names_of(path: Path, label: str) -> list[str]:
    """The names that the schema gives to numbered classes, or none."""
    return list(features(path).get(label, {}).get("names", []))


def classes(labels: Sequence[Any], names: Sequence[str], column: str, name: Callable[[int], str]) -> tuple[Tensor, list[str]]:
    """Classes as numbers (N,) from 0, and their names.

    Raises:
        ZooError: naming a sample that has none, by `name` of its position, or several, or one outside those named.
    """
    for position, label in enumerate(labels):
        if label is None or label == "" or isinstance(label, list | dict):
            raise ZooError(f"{name(position)} has {label!r} for {column}: expected one class, a number or a word")
        if names and not 0 <= label < len(names):
            raise ZooError(
                f"{column} must lie in 0..{len(names) - 1}, found {label} in {name(position)}: some sets hide their test part's"
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


def features(path: Path) -> dict[str, Any]:
    """What the `datasets` library has written about the columns."""
    metadata = (schema(path).metadata or {}).get(b"huggingface")
    return json.loads(metadata).get("info", {}).get("features", {}) if metadata else {}


def schema(path: Path) -> pa.Schema:
    """A parquet file's columns.

    Raises:
        ZooError: if it is no such file.
    """
    try:
        return pq.read_schema(path)
    except (OSError, ValueError) as error:
        raise ZooError(f"cannot read {path} as parquet ({error}): delete it, and get it again") from error


def read_table(path: Path) -> pa.Table:
    """A table of parquet, CSV, TSV or JSON lines, by the file's ending; the text ones in UTF-8.

    Raises:
        MissingFileError: if there is no such file.
        ZooError: naming the file, and where in it something is wrong.
    """
    if not path.is_file():
        raise MissingFileError(f"no file {path}: give a .csv, .tsv, .jsonl or .parquet file")
    match path.suffix.lower():
        case ".parquet":
            schema(path)
            return pq.read_table(path)
        case ".csv" | ".tsv" as ending:
            content = utf8(path).encode()
            options = pa.csv.ParseOptions(delimiter="," if ending == ".csv" else "\t", newlines_in_values=True)
            try:
                return pa.csv.read_csv(io.BytesIO(content), parse_options=options)
            except pa.ArrowInvalid as error:
                raise ZooError(f"cannot read {path} as {ending[1:].upper()}: {error}") from error
        case ".jsonl" | ".ndjson":
            rows = _json_lines(path)
            names = dict.fromkeys(name for row in rows for name in row)
            try:
                return pa.table({name: [row.get(name) for row in rows] for name in names})
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise ZooError(f"cannot read {path}: a name has values of several kinds ({error})") from error
        case ending:
            raise ZooError(f"{path} ends in {ending or 'nothing'}: expected .csv, .tsv, .jsonl or .parquet")


def column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    """A column by its name.

    Raises:
        ZooError: with the columns there are, if it is none of them, or several.
    """
    if (num := table.column_names.count(name)) != 1:
        raise ZooError(
            f"{path.name} has {num or 'no'} column{'s' * (num > 1)} {name!r}: it has {', '.join(table.column_names)}"
        )
    return table[name]


def texts_of(table: pa.Table, name: str, path: Path) -> list[str]:
    """A column of texts.

    Raises:
        ZooError: with the first row that holds something else, or as `column` does.
    """
    cells = column(table, name, path).to_pylist()
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise ZooError(f"row {row} of {path.name} has {cell!r} for {name}: expected a text")
    return cells


def _json_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(utf8(path).split("\n"), start=1):  # `splitlines` also splits at signs within a text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ZooError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ZooError(f"line {number} of {path} holds {type(row).__name__}, expected an object with named columns")
        rows.append(row)
    return rows
