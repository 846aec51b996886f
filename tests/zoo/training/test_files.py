"""Files are written completely or not at all."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from zoo.training.files import atomic, write_csv, write_text


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.parent == path.parent  # on the same file system, so that renaming is atomic
    assert [(found.name, found.read_text()) for found in path.parent.iterdir()] == [("file.txt", "half")]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic(path) as partial:
            partial.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file.txt", "old")]


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Überlänge 電影\n")
    assert (tmp_path / "a.txt").read_bytes() == "Überlänge 電影\n".encode()


def test_a_table_that_cannot_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "predictions" / "test.csv"
    write_csv(path, ["a"], [[1]])
    unwritable: Any = [[2], 3]  # the second row is not a sequence
    with pytest.raises(csv.Error):
        write_csv(path, ["a"], unwritable)
    assert path.read_text().split() == ["a", "1"]
    assert list(path.parent.iterdir()) == [path]


def test_others_can_read_a_file_whatever_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "tensors") as partial:
        save_file({"x": torch.zeros(2)}, partial)
    assert (tmp_path / "tensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
