"""Labelled sets in tables: the parts by the names of their files, and the classes."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from datamodules.core.labelled_sets import (
    check_class_column,
    check_several_classes,
    class_names_of,
    features,
    find_parts,
    read_labels,
    sorted_classes,
)

ENDINGS = (".parquet", ".jsonl", ".csv", ".tsv")


def write(path: Path, labels: list[object], names: list[str] | None = None) -> Path:
    """Write a parquet file whose schema names the classes, if there are names."""
    table = pa.table({"y": labels})
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {"y": {"names": names}}}})})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("listing", "parts"),
    [
        (["train.csv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["train.jsonl", "dev.jsonl", "README.md"], {"train": ["train.jsonl"], "test": ["dev.jsonl"]}),
        (["train.csv", "train.parquet"], {"train": ["train.parquet"]}),  # one set in two formats
        (["train.tsv", "train.csv", "test.tsv", "test.csv"], {"train": ["train.csv"], "test": ["test.csv"]}),
        (["train.csv", "test.jsonl"], {"train": ["train.csv"]}),  # of another set, for all that is known
        (
            ["train-00000.jsonl", "train-00001.jsonl", "train.csv"],
            {"train": ["train-00000.jsonl", "train-00001.jsonl"]},
        ),
        (["retrain.csv", "a/train.csv", "a/contest.csv"], {"train": ["a/train.csv"]}),  # a word, not letters within one
        (
            ["my_train.csv", "my_eval.csv", "my_valid.csv"],
            {"train": ["my_train.csv"], "test": ["my_eval.csv"], "val": ["my_valid.csv"]},
        ),
    ],
)
def test_parts_by_their_names_in_one_format(listing: list[str], parts: dict[str, list[str]]) -> None:
    assert find_parts("someone/set", listing, None, ENDINGS) == parts


@pytest.mark.parametrize("listing", [[], ["test.csv"], ["train.json"], ["train.csv.gz"], ["training.csv"]])
def test_a_set_without_a_training_part_is_refused(listing: list[str]) -> None:
    shown = ", ".join(listing) or "no files"
    with pytest.raises(ValueError, match=rf"someone/set has no parquet or .* files for training: it has {shown}; many sets"):
        find_parts("someone/set", listing, None, ENDINGS)


def test_classes_are_sorted_as_numbers_if_all_are() -> None:
    assert sorted_classes(["b", "a", "c", "a"]) == ("a", "b", "c")
    assert sorted_classes(["10", "2", "10"]) == ("2", "10")
    assert sorted_classes(["1", "01", "0.5", "-3"]) == ("-3", "0.5", "01", "1")
    assert sorted_classes(["10", "2", "b"]) == ("10", "2", "b")
    assert sorted_classes([]) == ()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 10, 2], ["0", "10", "2"]),
        ([0.0, 1.0], ["0.0", "1.0"]),
        ([True, False], ["True", "False"]),
        (["01", "1", "nan", "NA"], ["01", "1", "nan", "NA"]),  # words of a format that knows missing values by themselves
    ],
)
def test_labels_are_text(tmp_path: Path, labels: list[object], words: list[str]) -> None:
    assert read_labels(write(tmp_path / "a.parquet", labels), "y") == words


def test_each_file_names_its_own_classes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", [0, 1, 2], ["down", "up", "even"])
    other = write(tmp_path / "b.parquet", [0, 1, 2], ["up", "even", "down"])
    assert read_labels(first, "y") == ["down", "up", "even"]
    assert read_labels(other, "y", names=["down", "up", "even"]) == ["up", "even", "down"]
    assert read_labels(write(tmp_path / "c.parquet", [2, 0, 2]), "y", names=["a", "b", "c"]) == ["c", "a", "c"]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, None], None, r"row 1 of a\.parquet has no y: expected one class, a number or a word"),
        ([0.0, float("nan")], None, r"row 1 of a\.parquet has no y: expected one class"),
        (["a", ""], None, r"row 1 of a\.parquet has no y: expected one class"),
        ([{"x": 1}], None, r"row 0 of a\.parquet has \{'x': 1\} for y: expected one class"),
        ([[1, 2]], None, r"row 0 of a\.parquet has \[1, 2\] for y: expected one class"),
        ([b"caf\xe9"], None, r"row 0 of a\.parquet has b'caf\\xe9' for y: expected one class"),
        ([0, 2], ["a", "b"], r"y must lie in 0\.\.1, found 2 in row 1 of a\.parquet: some sets hide the labels"),
        ([0, -1], ["a", "b"], r"y must lie in 0\.\.1, found -1 in row 1 of a\.parquet"),
    ],
)
def test_labels_that_are_none_are_named(tmp_path: Path, labels: list[object], names: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_labels(write(tmp_path / "a.parquet", labels, names), "y")


def test_a_column_with_about_one_class_per_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{i},{i % 3},{i * 0.5},{i % 2}" for i in range(60)]
    path.write_text("\n".join(["id,mood,price,sold", *lines]) + "\n")
    message = (
        "column 'id' of .*a.csv has 60 classes in 60 rows, about one per row: choose a column of classes, such as mood, sold"
    )
    with pytest.raises(ValueError, match=message):
        check_class_column(path, "id", [str(i) for i in range(60)])
    check_class_column(path, "id", [str(i // 2) for i in range(60)])  # 30 classes of two
    check_class_column(path, "id", [str(i) for i in range(20)])
    path.write_text("\n".join(["id,price", *[f"{i},{i * 0.5}" for i in range(60)]]) + "\n")
    with pytest.raises(ValueError, match=r"such as \(none seems to be one\), or for numbers a"):
        check_class_column(path, "id", [str(i) for i in range(60)])


def test_one_class_only_is_refused() -> None:
    with pytest.raises(ValueError, match="notes has only one class for training, 'up': add samples of another class"):
        check_several_classes(torch.tensor([1, 1, 1]), ("down", "up"), "notes")
    check_several_classes(torch.tensor([1, 0, 1]), ("down", "up"), "notes")


def test_a_schema_that_says_nothing_names_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"label": [0, 1]}), path)
    assert features(path) == {}
    assert class_names_of(path, "label") == []
