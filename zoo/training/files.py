"""Write files completely or not at all, and detect damaged files."""

import csv
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import ZooError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` if the block ends without an error.

    Readers never see a partial file, and after an error the older file is unchanged. The folder is created if necessary.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.touch()
    usual = partial.stat().st_mode
    try:
        yield partial
        partial.chmod(usual)  # safetensors lets nobody else read: https://github.com/safetensors/safetensors/issues/782
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_sums(path: Path) -> None:
    """Verify the checksums in a file that torch wrote. `torch.load` ignores them and would load a flipped bit.

    Raises:
        ZooError: if a checksum differs. Other kinds of files have none and are not checked.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ZooError(f"cannot read {path}: its part {damaged} is damaged. Copy the file again, or use another")


def find_file(name: str) -> Path | None:
    """Return the file of this name in the current directory, else below the folder `ZOO_DATA`; None if neither has it."""
    folders = [Path(), *([Path(root)] if (root := os.environ.get("ZOO_DATA")) else [])]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as CSV, atomically."""
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
