"""Cache of decoded data sets on disk: written once, verified on every read."""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from datamodules.core.files import file_sha256, replacing
from zoo.errors import ZooError

_READER = "1"  # Increase it when decoding changes, so that older cache files are not used.


def cache_folder() -> Path:
    """Return `ZOO_CACHE`, or lightning-model-zoo in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lightning-model-zoo"
    return Path(os.environ.get("ZOO_CACHE") or default)


def cached(name: str, sources: Sequence[Path], decode: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors that `decode` returns, from the cache if sources of the same content were decoded before.

    The name of the cache file contains the checksums of `sources`. The file itself holds a checksum of its tensors, which is
    compared on every read.

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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
    except SafetensorError as error:
        raise ZooError(f"damaged cache {path} ({error}): delete the file, and the data is decoded again") from error
    if _digest(tensors) != expected:
        raise ZooError(f"damaged cache {path} (checksum differs): delete the file, and the data is decoded again")
    return tensors


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a cache file. If there is no space or no permission, warn and continue without a cache."""
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata={"sha256": _digest(tensors)})
    except (OSError, SafetensorError) as error:
        warnings.warn(f"cannot cache decoded data in {path.parent}: {error}. Set ZOO_CACHE to a writable folder", stacklevel=2)
