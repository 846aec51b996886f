"""Write files completely or not at all, and detect damaged files."""

import csv
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import MissingFileError, ZooError


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
        partial.chmod(
            usual
        )  # safetensors hides its files from other users: https://github.com/safetensors/safetensors/issues/782
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


def find_file(name: str, kind: str, way_out: str) -> Path:
    """Return the file of this name in the current directory, else below the folder `ZOO_DATA`.

    Raises:
        MissingFileError: if neither has it. The message contains the `kind` of file, as in "weights file", and the `way_out`.
    """
    root = os.environ.get("ZOO_DATA")
    for folder in (Path(), *([Path(root)] if root else [])):
        if (folder / name).is_file():
            return folder / name
    raise MissingFileError(f"no {kind} {name} in this directory or under ZOO_DATA ({root or 'not set'}): {way_out}")


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as CSV, atomically."""
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
