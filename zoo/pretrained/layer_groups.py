"""Layer groups of any network, from its input to its output: the units that are frozen, unfrozen and given learning rates."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from timm.models import group_parameters
from torch import nn

_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)


class LayerGroup(NamedTuple):
    """A group of layers at one depth."""

    name: str  # path of its first layer with weights, as far as it tells the group from others: layer3, blocks.5
    parameters: tuple[str, ...]  # names as in `named_parameters`


@runtime_checkable
class GroupsLayers(Protocol):
    """A network that knows its layer groups, as timm's networks do."""

    def group_matcher(self, coarse: bool = False) -> dict[str, Any] | Callable[[str], Any]:
        """Return patterns of parameter names, or a function from a name to its group, for `timm.models.group_parameters`."""


def layer_groups(net: nn.Module) -> list[LayerGroup]:
    """Split the parameters of a network into layer groups. Each parameter is in exactly one group.

    A network from timm has the stages that its `group_matcher` names. Another network has a group for each module whose path
    ends at the first name with a digit (layer3, features.7, inception4a, encoder.layers.encoder_layer_5), or else for each
    layer. Norms and loose parameters join the group before them, or the first group.
    """
    if isinstance(net, GroupsLayers):
        groups: list[list[str]] = list(group_parameters(net, net.group_matcher(coarse=True)).values())
    else:
        groups = _by_numbered_module([name for name, _ in net.named_parameters()])
    merged: dict[str, list[str]] = {}  # by the path of the first layer with weights
    waiting: list[str] = []  # parameters before that layer
    for names in groups:
        layers = [path for path in map(_module, names) if isinstance(net.get_submodule(path), _WEIGHTED)]
        if layers:
            merged[layers[0]] = [*waiting, *names]
            waiting = []
        elif merged:
            merged[next(reversed(merged))] += names
        else:
            waiting += names
    assert not waiting, f"{type(net).__name__} has no layer with weights"
    return [LayerGroup(_shortest(path, names, merged), tuple(names)) for path, names in merged.items()]


def _by_numbered_module(names: list[str]) -> list[list[str]]:
    """Group the names of parameters by the first numbered module of their path."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_first_numbered(_module(name)), []).append(name)
    return list(groups.values())


def _shortest(path: str, own: list[str], groups: dict[str, list[str]]) -> str:
    """Return the shortest start of a path with which no parameter of another group begins."""
    others = [name for names in groups.values() if names is not own for name in names]
    parts = path.split(".")
    starts = (".".join(parts[:length]) for length in range(1, len(parts)))
    return next((start for start in starts if not any(name.startswith(f"{start}.") for name in others)), path)


def _module(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _first_numbered(path: str) -> str:
    """Return the path up to the first module whose name contains a digit; the whole path if there is none."""
    parts = path.split(".")
    for length, part in enumerate(parts, start=1):
        if any(character.isdigit() for character in part):
            return ".".join(parts[:length])
    return path
