"""Labelled sets in tables: the parts by the names of their files, and the classes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datamodules.core.labelled_sets import class_names_of, classes, features, find_parts

ENDINGS = (".parquet", ".jsonl", ".csv", ".tsv")


def name(position: int) -> str:
    return f"sample {position}"


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


def test_classes_are_numbered_in_the_order_of_their_values() -> None:
    assert classes(["b", "a", "c", "a"], (), "y", name)[1] == ["a", "b", "c"]
    y, names = classes([10, 2, 10], (), "y", name)
    assert (y.tolist(), names) == ([1, 0, 1], ["2", "10"])
    y, names = classes([True, False], (), "y", name)
    assert (y.tolist(), names) == ([1, 0], ["False", "True"])


def test_named_classes_keep_their_numbers() -> None:
    y, names = classes([2, 0, 2], ("a", "b", "c"), "y", name)
    assert (y.tolist(), names) == ([2, 0, 2], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, None], (), r"sample 1 has None for y: expected one class, a number or a word"),
        (["a", ""], (), r"sample 1 has '' for y: expected one class"),
        ([{"x": 1}], (), r"sample 0 has \{'x': 1\} for y: expected one class"),
        ([0, 2], ("a", "b"), r"y must lie in 0\.\.1, found 2 in sample 1"),
        (["a", "b", 3], (), r"y is 'a' in sample 0, but 3 in sample 2: expected words in all files, or numbers in all"),
        ([1, "a"], (), r"y is 'a' in sample 1, but 1 in sample 0: expected words in all files"),
    ],
)
def test_labels_that_are_none_are_named(labels: list[object], names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classes(labels, names, "y", name)


def test_a_schema_that_says_nothing_names_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"label": [0, 1]}), path)
    assert features(path) == {}
    assert class_names_of(path, "label") == []
