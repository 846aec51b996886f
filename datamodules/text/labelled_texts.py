"""Texts with classes in table files: which columns hold them, which classes there are, and the texts themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch

from datamodules.core.labelled_sets import (
    check_class_column,
    class_names_of,
    number_classes,
    only_column,
    read_labels,
    sorted_classes,
)
from datamodules.core.table_files import check_columns, read_table, schema, texts_of
from datamodules.text.base import Texts
from zoo.errors import ZooError


class Columns(NamedTuple):
    """The columns of a labelled set of texts."""

    text: str
    label: str
    words: str | None  # names of numbered classes, such as label_text


def find_columns(path: Path, text: str | None, label: str | None) -> Columns:
    """Find the columns of texts and of classes by the file's schema if they are not given.

    Raises:
        ZooError: if there is no such column, or if several qualify.
    """
    columns = schema(path)
    names = columns.names
    if label is None:
        usual = [name for name in ("label", "labels", "class", "target", "category") if name in names]
        label = only_column(usual, "label", names, path)
    words = f"{label}_text"
    if text is None:
        kinds = {name: kind for name, kind in zip(names, columns.types, strict=True) if name not in (label, words)}
        strings = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
        text = "text" if "text" in strings else only_column(strings, "text", names, path)
    check_columns(names, (text, label), path)
    return Columns(text, label, words if words in names else None)


def read_class_names(paths: Sequence[Path], columns: Columns) -> tuple[str, ...]:
    """Read the names of the classes in the files of the training part, without reading the texts.

    The schema of a parquet file may name the classes; then only the first of `paths` is read. Otherwise the classes are the
    values in the column of classes, which is read alone, or the names in the column of words.

    Raises:
        ZooError: naming the row that has no class, or the column if it has about one class per row.
    """
    if stated := class_names_of(paths[0], columns.label):
        return tuple(stated)
    labels = [label for path in paths for label in read_labels(path, columns.label)]
    check_class_column(paths[0], columns.label, labels)
    words = _words(paths, columns)
    return tuple(words.get(label, label) for label in sorted_classes(labels))


def read_texts(paths: Mapping[str, Sequence[Path]], columns: Columns, class_names: Sequence[str], source: str) -> Texts:
    """Read all texts in the files of each part.

    Raises:
        ZooError: naming a missing column, an empty cell, or a class that no training text has.
    """
    texts: list[str] = []
    labels: list[str] = []
    places: list[str] = []
    parts = {}
    words = _words(paths["train"], columns)
    for part, files in paths.items():
        first = len(texts)
        for path in files:
            check_columns(schema(path).names, [columns.text, columns.label], path)
            texts += texts_of(read_table(path, [columns.text]), columns.text, path)
            labels += _labels(path, columns, words)
            places += [f"row {row} of {path.name}" for row in range(len(texts) - len(places))]
        parts[part] = torch.arange(first, len(texts))
    if not len(parts["train"]):
        raise ZooError(f"{source} has no text for training: {paths['train'][0].name} has no rows")
    known = set(class_names) & {labels[row] for row in parts["train"].tolist()}
    if (unseen := next((row for row, label in enumerate(labels) if label not in known), None)) is not None:
        raise ZooError(
            f"{columns.label} {labels[unseen]!r} of {places[unseen]} is in no training text: correct it, or leave the row out"
        )
    return Texts(texts, number_classes(labels, class_names), parts, source)


def _labels(path: Path, columns: Columns, words: Mapping[str, str]) -> list[str]:
    """Return the name of each row's class. Each file may number its classes in an order of its own."""
    stated = class_names_of(path, columns.label)
    if words and not stated and columns.words in schema(path).names:
        return read_labels(path, str(columns.words))
    return [label if stated else words.get(label, label) for label in read_labels(path, columns.label)]


def _words(paths: Sequence[Path], columns: Columns) -> dict[str, str]:
    """Return the class name of each label in the training files, if their schema or a column of words maps them one to one."""
    if stated := class_names_of(paths[0], columns.label):
        return {str(number): name for number, name in enumerate(stated)}
    pairs = {
        pair
        for path in paths
        if columns.words is not None and columns.words in schema(path).names
        for pair in zip(read_labels(path, columns.label), read_labels(path, columns.words), strict=True)
    }
    words = dict(pairs)
    return words if len(pairs) == len(words) == len(set(words.values())) else {}
