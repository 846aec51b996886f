"""Labelled texts in tables: columns and classes are known without the texts."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datamodules.text.labelled_texts import Columns, find_columns, read_class_names, read_texts


def write(path: Path, columns: dict[str, Any], names: list[str] | None = None) -> Path:
    table = pa.table(columns)
    if names is not None:
        features = {"label": {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


def test_columns_and_the_words_for_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"note": ["x"], "label": [0], "label_text": ["no"]})
    assert find_columns(path, None, None) == Columns("note", "label", "label_text")
    assert find_columns(path, "label_text", "label") == Columns("label_text", "label", "label_text")


def test_a_schema_that_names_the_classes_is_the_only_thing_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["x"], "label": [0]}, ["down", "up"])
    assert read_class_names([path, tmp_path / "not read.parquet"], Columns("text", "label", None)) == ("down", "up")


def test_otherwise_all_training_files_tell_the_classes(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.parquet", {"text": [None], "label": [i]}) for i in (2, 10, 1)]
    assert read_class_names(paths, Columns("text", "label", None)) == ("1", "2", "10")  # and their texts are not looked at
    with pytest.raises(ValueError, match=r"row 0 of 2\.parquet has None for text"):
        read_texts({"train": paths}, Columns("text", "label", None), ("1", "2", "10"), "set")


def test_a_training_file_without_a_class_is_named_before_the_training(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.parquet", {"text": ["x"], "label": [i]}) for i in (0, None)]
    with pytest.raises(ValueError, match=r"row 0 of None\.parquet has no label: expected one class"):
        read_class_names(paths, Columns("text", "label", None))
