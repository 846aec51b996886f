"""Initial weights of a network from a file. They are not read if a checkpoint will replace them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.errors import MissingFileError, ZooError

_wanted = ContextVar("initial_weights_wanted", default=True)


@contextmanager
def without_initial_weights() -> Iterator[None]:
    """Build networks without reading or downloading initial weights, because a checkpoint will replace them."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def initial_weights_wanted() -> bool:
    """Return whether a network under construction should load its initial weights."""
    return _wanted.get()


def load_weights(net: nn.Module, name: str) -> None:
    """Load a file of named tensors, in torch's format or safetensors, into `net`.

    A relative `name` is looked up in the current directory, then in the folder `ZOO_DATA`.

    Raises:
        MissingFileError: if the file does not exist.
        ZooError: if the file cannot be read, or its weights do not fit `net`.
    """
    if not initial_weights_wanted():
        return
    path = _find(name)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a corrupt file can raise almost any exception: the byte "." raises an IndexError
        raise ZooError(f"cannot read weights {path} ({type(error).__name__}): expected a file of named tensors") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ZooError(f"{path} holds no weights: expected a file of named tensors (for a checkpoint, use --ckpt_path instead)")
    own = net.state_dict()
    lacking, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    lacking = [key for key in lacking if not key.endswith("num_batches_tracked")]  # counters that older files lack
    wrong = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    for problem, keys in {"lacks": lacking, "has the unknown": unknown, "has a different shape for": sorted(wrong)}.items():
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ZooError(f"{path} does not fit this {type(net).__name__}: it {problem} {keys[0]}{more}")
    net.load_state_dict(state, strict=False)


def _find(name: str) -> Path:
    path, root = Path(name), os.environ.get("ZOO_DATA")
    for candidate in (path, Path(root) / name if root else path):
        if candidate.is_file():
            return candidate
    raise MissingFileError(
        f"no weights file {name} in this directory or under ZOO_DATA ({root or 'not set'}): give the path of a file"
    )
