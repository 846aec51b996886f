"""Weights that a network starts from: read from a file, unless a checkpoint is about to replace them."""

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
    """Build networks whose weights come from a checkpoint: a file or a download they started from need not be there."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def initial_weights_wanted() -> bool:
    """Whether a network that is being built ought to fetch its weights."""
    return _wanted.get()


def load_weights(net: nn.Module, name: str) -> None:
    """Fill `net` from a file of tensors by name, torch's or safetensors; also found relative to the folder `ZOO_DATA`.

    Raises:
        MissingFileError: if there is none.
        ZooError: if the file can't be read, or holds the weights of another network.
    """
    if not initial_weights_wanted():
        return
    path = _find(name)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no weights end in almost any: "." in an IndexError
        raise ZooError(f"cannot read weights {path} ({type(error).__name__}): expected tensors by name") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ZooError(f"{path} holds no weights: expected tensors by name (of a checkpoint, give --ckpt_path instead)")
    own = net.state_dict()
    lacking, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    lacking = [key for key in lacking if not key.endswith("num_batches_tracked")]  # counts, which older files do not hold
    wrong = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    for problem, keys in {"lacks": lacking, "has the unknown": unknown, "has another shape of": sorted(wrong)}.items():
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ZooError(f"{path} is not of this {type(net).__name__}: it {problem} {keys[0]}{more}")
    net.load_state_dict(state, strict=False)


def _find(name: str) -> Path:
    path, root = Path(name), os.environ.get("ZOO_DATA")
    for candidate in (path, Path(root) / name if root else path):
        if candidate.is_file():
            return candidate
    raise MissingFileError(f"no weights {name}, here or under ZOO_DATA ({root or 'not set'}): give a file's path")
