"""Texts with classes in table files: which columns hold them, which classes there are, and the texts themselves."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch

from datamodules.core.labelled_sets import class_names_of, classes, only_column
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


def read_class_names(paths: Iterable[Path], columns: Columns) -> tuple[str, ...]:
    """Read the names of the classes in the files of the training part, without reading the texts.

    The schema of a parquet file may name the classes; then only the first of `paths` is asked for. Otherwise the classes are
    the values in the column of classes, which is read alone.

    Raises:
        ZooError: naming the row that has no class.
    """
    label, words = columns.label, columns.words
    remaining = iter(paths)
    first = next(remaining)
    found = class_names_of(first, label)
    if not found:
        labels: list[object] = []
        places: list[str] = []
        for path in (first, *remaining):
            cells = read_table(path, [label])[label].to_pylist()
            labels += cells
            places += [f"row {row} of {path.name}" for row in range(len(cells))]
        _, found = classes(labels, (), label, places.__getitem__)
    if words is not None:
        table = read_table(first, [label, words])
        pairs = {str(a): str(b) for a, b in zip(table[label].to_pylist(), table[words].to_pylist(), strict=True)}
        if len(set(pairs.values())) == len(found):
            return tuple(pairs.get(name, name) for name in found)
    return tuple(found)


def read_texts(paths: Mapping[str, Sequence[Path]], columns: Columns, source: str) -> Texts:
    """Read all texts in the files of each part.

    Raises:
        ZooError: naming a missing column, an empty cell, or a class that no training text has.
    """
    texts: list[str] = []
    labels: list[object] = []
    places: list[str] = []
    parts = {}
    first_path, label = paths["train"][0], columns.label
    for part, files in paths.items():
        first = len(texts)
        for path in files:
            table = read_table(path, [columns.text, label])
            cells = texts_of(table, columns.text, path)
            labels += table[label].to_pylist()
            texts += cells
            places += [f"row {row} of {path.name}" for row in range(len(cells))]
        parts[part] = torch.arange(first, len(texts))
    if not len(parts["train"]):
        raise ZooError(f"{source} has no text for training: {first_path.name} has a header at most")
    y, found = classes(labels, class_names_of(first_path, label), label, places.__getitem__)
    if unseen := set(y.tolist()) - set(y[parts["train"]].tolist()):
        where = places[(y == min(unseen)).nonzero()[0, 0]]
        raise ZooError(f"{label} {found[min(unseen)]!r} of {where} is in no training text: correct it, or leave the row out")
    return Texts(texts, y, parts, source)
