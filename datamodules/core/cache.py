"""Decoded data sets on disk: written once, verified on every start."""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.errors import ZooError

_READER = "1"  # raise it when decoding changes, so that older files are not read


def cache_folder() -> Path:
    """`ZOO_CACHE`, or lightning-model-zoo in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning-model-zoo"
    return Path(os.environ.get("ZOO_CACHE") or default)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(name: str, sources: Sequence[Path], decode: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What `decode` returns, from the cache where these very sources were decoded before.

    The file's name holds the sources' checksums, and the file its own, checked on every read.

    Raises:
        ZooError: if the cache file is damaged.
    """
    key = hashlib.sha256("".join([_READER, *map(file_sha256, sources)]).encode()).hexdigest()
    path = cache_folder() / f"{name}-{key[:16]}.safetensors"
    if path.exists():
        return _read(path)
    tensors = dict(decode())
    _write(path, tensors)
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            expected = (file.metadata() or {}).get("sha256")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is no mapping
    except SafetensorError as error:
        raise ZooError(f"damaged cache {path} ({error}): delete the file, and the data is decoded again") from error
    if _digest(tensors) != expected:
        raise ZooError(f"damaged cache {path} (checksum differs): delete the file, and the data is decoded again")
    return tensors


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write beside, then rename: a reader sees the whole file or none. Without room or permission, go on without a cache."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"sha256": _digest(tensors)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"cannot cache decoded data in {path.parent}: {error}. Set ZOO_CACHE to a writable folder", stacklevel=2)
    finally:
        partial.unlink(missing_ok=True) if path.parent.is_dir() else None
