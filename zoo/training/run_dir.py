"""Create a run directory. The directory is removed if training never starts."""

import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo.errors import FileError, ZooError


class RunDirectory:
    """The directory for one command, created if it does not exist.

    Raises:
        FileError: if the directory cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._created = [folder for folder in (path, *path.parents) if not folder.exists()]  # innermost first
            path.mkdir(parents=True, exist_ok=True)
            self._was_empty = not any(path.iterdir())
            tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            raise FileError(
                f"cannot write to the run directory {path} ({error.strerror}): choose another with --run_dir"
            ) from error

    @classmethod
    def new(cls, recipe: str, root: Path = Path("runs")) -> "RunDirectory":
        """Create runs/<recipe>/<date>_<time>; runs that start in the same second get separate directories."""
        base = root / recipe / time.strftime("%Y-%m-%d_%H-%M-%S")
        parent, number, path = cls(base.parent), 1, base
        while True:
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                path = base.with_name(f"{base.name}-{number}")
            else:
                break
        directory = cls(path)
        directory._created = [path, *parent._created]
        return directory

    def discard(self) -> None:
        """Empty and remove the directory, if it was new or empty before, so that the corrected command can use it."""
        if not self._was_empty:
            return
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        with suppress(OSError):  # parent folders with other runs are kept
            for folder in self._created:
                folder.rmdir()


def new_run_dir(recipe: str, root: Path = Path("runs")) -> Path:
    """Create a directory for a run of a recipe, runs/<recipe>/<date>_<time>, and return its path."""
    return RunDirectory.new(recipe, root).path


def read_run(folder: Path) -> dict[str, Any]:
    """Read run.json: recipe, commands, W&B id, and the results of a finished run; empty if the file does not exist.

    Raises:
        ZooError: if the file is damaged.
    """
    path = folder / "run.json"
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ZooError(f"{path} is damaged ({error}): restore it, or remove it to go on without what it recorded") from error
    if not isinstance(record, dict):
        raise ZooError(f"{path} is damaged: expected a mapping. Restore it, or remove it to go on without")
    return record


def run_of(checkpoint: Path) -> Path | None:
    """Return the run directory that a checkpoint belongs to; None if it lies outside of a run."""
    folder = checkpoint.parent.parent
    return folder if (folder / "config.yaml").is_file() else None


def is_first_process() -> bool:
    """Return whether this process has rank 0. Works before a trainer exists."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
