"""The names of hardware and commit are correct."""

import os
import subprocess
from pathlib import Path

from lightning import Trainer

from zoo.training.provenance import commit_of, hardware


def test_the_processor_is_named_with_its_cores() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    cores, name = hardware(trainer).split(" cores of ")
    assert int(cores) == os.cpu_count()
    assert name


def test_the_commit_is_marked_if_the_code_differs_from_it(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (recipe := tmp_path / "recipes" / "a.yaml").parent.mkdir()
    recipe.write_text("lr: 1\n")
    assert commit_of(recipe) == "installed"
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    head = git("rev-parse", "--short=10", "HEAD")
    assert commit_of(recipe) == head
    (tmp_path / "note.txt").write_text("no code")
    assert commit_of(recipe) == head
    recipe.write_text("lr: 2\n")
    assert commit_of(recipe) == f"{head}+changes"
