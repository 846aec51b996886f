"""Initial weights of a network from a file. They are not read if a checkpoint will replace them."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.training.files import check_sums, find_file

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


def load_weights(
    net: nn.Module, name: str | Path, ignore: Collection[str] = (), rename: Mapping[str, str] | None = None
) -> None:
    """Load weights from a file into `net`: named tensors in torch's format or safetensors, a checkpoint, or an exported file.

    If the number of classes differs, the last layer of `net` keeps its initial weights, and a note is printed. If `net` takes
    another number of channels, its first convolution starts from the file's, summed over channels for grey images or repeated.

    Args:
        net: the network.
        name: the file. A relative path is looked up in the current directory, then in the folder `ZOO_DATA`.
        ignore: names of tensors in the file that `net` does not have, such as those of a last layer that was removed.
        rename: patterns of names in the file and their replacements, as in `re.sub`, applied in turn.

    Raises:
        MissingFileError: if the file does not exist.
        ZooError: if the file cannot be read, or its weights do not fit `net`.
    """
    if not initial_weights_wanted():
        return
    path, own = find_file(str(name), "weights file", "give the path of a file"), net.state_dict()
    state = {_renamed(key, rename or {}): value for key, value in _named_tensors(path).items()}
    if not own.keys() & state.keys():  # The network of a system is stored under `net`, beside its metrics.
        state = {key.removeprefix("net."): value for key, value in state.items() if key.startswith("net.")} or state
    lacking, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys() - {*ignore})
    lacking = [key for key in lacking if not key.endswith("num_batches_tracked")]  # counters that older files lack
    state |= _other_channels(net, state)
    wrong = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    heads = _other_heads([(state[key], own[key]) for key in wrong])
    problems = {"lacks": lacking, "has the unknown": unknown, "has a different shape for": [] if heads else wrong}
    for problem, keys in problems.items():
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ZooError(f"{path} does not fit this {type(net).__name__}: it {problem} {keys[0]}{more}")
    for was, now in heads:
        _note(f"{path} has {was} classes, not {now}: {', '.join(wrong)} keep their initial values and have to be trained")
    net.load_state_dict({key: value for key, value in state.items() if key not in wrong}, strict=False)


def _renamed(key: str, rename: Mapping[str, str]) -> str:
    for pattern, replacement in rename.items():
        key = re.sub(pattern, replacement, key)
    return key


def _other_channels(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weight of the first convolution for the channels that `net` takes, if the file's takes three others."""
    name, first = next(((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
    weight = state.get(f"{name}.weight")
    if first is None or weight is None or weight.ndim != 4 or weight.shape[1] != 3 or first.in_channels == 3:
        return {}
    from timm.models import adapt_input_conv  # here, because timm is slow to import

    return {f"{name}.weight": adapt_input_conv(first.in_channels, weight)}


def _other_heads(pairs: list[tuple[Tensor, Tensor]]) -> set[tuple[int, int]]:
    """Return {(classes in the file, classes of the net)} if the pairs of mismatched tensors are a last layer; else nothing."""
    if not any(own.ndim > 1 for _, own in pairs) or any(other.shape[1:] != own.shape[1:] for other, own in pairs):
        return set()
    sizes = {(len(other), len(own)) for other, own in pairs}
    return sizes if len(sizes) == 1 else set()


def _named_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors in a file; of a checkpoint, only the weights."""
    try:
        check_sums(path)
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except ZooError:
        raise
    except Exception as error:  # a corrupt file can raise almost any exception: the byte "." raises an IndexError
        raise ZooError(f"cannot read weights {path} ({type(error).__name__}): expected a file of named tensors") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ZooError(f"{path} holds no weights: expected a file of named tensors, or a checkpoint")
    return state


@rank_zero_only
def _note(line: str) -> None:
    print(line, flush=True)
