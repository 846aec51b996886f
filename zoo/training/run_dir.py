"""Create a run directory, and lock it while a run trains in it. The directory is removed if training never starts."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zoo.errors import FileError, UsageError, ZooError

_LOCK = ".lock"
_PROBE = 65536  # bytes that are written to detect a full disk before the run


class RunDirectory:
    """The directory for one command, created if it does not exist.

    Raises:
        FileError: if the directory cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._created: list[Path] = []
        try:
            self._created = [folder for folder in (path, *path.parents) if not folder.exists()]  # innermost first
            path.mkdir(parents=True, exist_ok=True)
            self._was_empty = not any(entry.name != _LOCK for entry in path.iterdir())
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(bytes(_PROBE))
        except OSError as error:
            self._remove_created()
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
                path.mkdir(parents=True)  # another process may have removed a parent that it had created
            except FileExistsError:
                number += 1
                path = base.with_name(f"{base.name}-{number}")
            else:
                break
        directory = cls(path)
        directory._created = [path, *parent._created]
        return directory

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock this directory, so that no other process trains in it. The lock is released even if the process is killed.

        Only the first process of a distributed run takes the lock.

        Raises:
            ZooError: if another process holds the directory.
        """
        lock = FileLock(self.path / _LOCK, timeout=0)
        try:
            if is_first_process():
                lock.acquire()
        except Timeout as error:
            raise ZooError(f"another process is training in {self.path}: wait until it ends, or choose another run") from error
        try:
            yield
        finally:
            lock.release()

    def discard(self) -> None:
        """Empty and remove the directory, if it was new or empty before, so that the corrected command can use it."""
        if not self._was_empty:
            return
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self._remove_created()

    def _remove_created(self) -> None:
        with suppress(OSError):  # parent folders with other runs are kept
            for folder in self._created:
                folder.rmdir()


def new_run_dir(recipe: str, root: Path = Path("runs")) -> Path:
    """Create a directory for a run of a recipe, runs/<recipe>/<date>_<time>, and return its path."""
    return RunDirectory.new(recipe, root).path


def check_holds_no_run(folder: Path) -> None:
    """Refuse a directory that already holds a run.

    Raises:
        UsageError: if it does. The message says how to continue that run.
    """
    if (folder / "config.yaml").exists():
        way_out = f"continue it with --resume {folder}, or choose" if any(folder.glob("checkpoints/*.ckpt")) else "choose"
        raise UsageError(f"{folder} already holds a run: {way_out} another --run_dir")


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
