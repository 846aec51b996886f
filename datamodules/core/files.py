"""Reading and writing files: UTF-8 text, errors that name the file, and writes that happen completely or not at all."""

import csv
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import ZooError

# The base classes of what pyarrow, Pillow, numpy, zipfile, gzip, csv and json raise for a damaged file.
_DAMAGED = (OSError, EOFError, ValueError, OverflowError, RuntimeError, zlib.error, zipfile.BadZipFile, csv.Error)


@contextmanager
def reading(path: Path | str, kind: str, way_out: str = "check the file, or create it again") -> Iterator[None]:
    """Translate errors that a library raises while it reads `path` as `kind`; only that call stands in the block.

    Raises:
        ZooError: naming the file, the reason and `way_out`.
    """
    try:
        yield
    except ZooError:
        raise
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ZooError(f"cannot read {path} as {kind}: {reason}; {way_out}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds, so that readers see a complete file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.touch()
    usual = partial.stat().st_mode
    try:
        yield partial
        # safetensors hides its files from other users: https://github.com/safetensors/safetensors/issues/782
        partial.chmod(usual)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable_name(path: Path | str) -> str:
    """Return a path as text that can be printed and written with any locale. Bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def utf8(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        ZooError: if the file cannot be read, or naming its first byte that is not UTF-8.
    """
    with reading(path, "text"):
        content = path.read_bytes()
    return decode(content, str(path))


def decode(content: bytes, name: str) -> str:
    """Decode UTF-8 with or without a byte-order mark; `name` is what errors call the content.

    Raises:
        ZooError: naming the first byte that is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ZooError(
            f"{name} is not UTF-8: byte 0x{byte:02x} at offset {error.start}; convert it (iconv -f latin1 -t utf8)"
        ) from error
