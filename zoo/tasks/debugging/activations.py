"""What the layers of a network compute: mean, deviation, histogram and dead units, summed up on the device.

Shapes: M bins of a histogram, U units of a layer.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.hooks import RemovableHandle
from torchmetrics import Metric

from zoo.nn.recurrent import Recurrent

NUM_BINS = 61  # odd, so that zeros have a bin of their own in the middle
_LINEAR = 0.01  # bins have equal widths near 0 and grow exponentially beyond this value
_LARGEST = math.asinh(100 / _LINEAR)  # larger values count in the outer bins
_DYING = (nn.ReLU, nn.ReLU6)  # a unit that is 0 for every sample gets no gradient
_SKIPPED = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd, Metric)
_NO_UNITS = torch.zeros(0)
Key = tuple[str, str, int]  # name, class and number of units, because one module may serve layers of several widths


class Statistics(NamedTuple):
    """Statistics of the outputs of a layer."""

    kind: str  # class of the layer
    mean: float
    std: float
    dead: float | None  # share of units that are 0 for all samples; None for layers other than ReLUs
    histogram: list[float]  # (M,) share of the outputs in each bin


def bin_edges() -> list[float]:
    """Return the edges (M + 1,) of the bins: symmetric, linear near 0 and logarithmic beyond, from -100 to 100."""
    places = torch.linspace(-_LARGEST, _LARGEST, NUM_BINS + 1, dtype=torch.float64)
    return (_LINEAR * places.sinh()).tolist()


def is_watched(module: nn.Module) -> bool:
    """Return whether a module is a layer whose outputs are measured: the innermost modules that change their input."""
    inner = not any(True for _ in module.children()) or is_parametrized(module) or isinstance(module, Recurrent)
    return inner and not isinstance(module, _SKIPPED)


class Activations:
    """Measures the outputs of layers while `on` is true. Several calls of a layer count together.

    A unit is a channel of an image (B, C, H, W) or volume, else an element of the last dimension. Of a recurrent layer, the
    outputs are measured, not the state.

    Args:
        network: the module whose layers are watched, until `remove` is called.
    """

    def __init__(self, network: nn.Module) -> None:
        self.on = False
        self._sums: dict[Key, tuple[Tensor, Tensor]] = {}  # (3 + M,) count, sum, sum of squares, histogram; (U,) activity
        self._hooks: list[RemovableHandle] = [
            module.register_forward_hook(partial(self._see, name))
            for name, module in network.named_modules()
            if is_watched(module) and "parametrizations" not in name.split(".")
        ]

    def remove(self) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @torch.no_grad()
    def _see(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        if not self.on or not isinstance(output, Tensor) or not output.is_floating_point() or not output.ndim:
            return
        x = output.detach().float()
        units = 1 if x.ndim > 3 else x.ndim - 1  # the dimension of the units
        places = ((x / _LINEAR).asinh() / _LARGEST + 1) * (NUM_BINS / 2)
        places = places.nan_to_num(0.0).clamp(0, NUM_BINS - 1).long().flatten()
        histogram = torch.zeros(NUM_BINS, device=x.device).scatter_add_(0, places, torch.ones_like(places, dtype=x.dtype))
        sums = torch.cat([torch.stack([torch.full_like(x.sum(), x.numel()), x.sum(), x.square().sum()]), histogram])
        active = (x > 0).float().movedim(units, 0).flatten(1).sum(1) if isinstance(module, _DYING) else _NO_UNITS.to(x)
        key = name, type(module).__name__, x.shape[units]
        if key in self._sums:
            sums, active = sums + self._sums[key][0], active + self._sums[key][1]
        self._sums[key] = sums, active

    def take(self) -> tuple[list[tuple[Key, int]], Tensor]:
        """Return the sums since the last call as one vector, with the layer and length of each part, and forget them."""
        seen, self._sums = self._sums, {}
        outer = {name.removesuffix(".layers") for name, *_ in seen if name.endswith(".layers")}
        parts = {key: torch.cat(sums) for key, sums in seen.items() if key[0] not in outer}
        vector = torch.cat(list(parts.values())) if parts else torch.zeros(0)
        return [(key, len(part)) for key, part in parts.items()], vector


def statistics(layers: list[tuple[Key, int]], vector: Tensor) -> dict[str, Statistics]:
    """Compute the statistics of layers from their sums, which are added up over processes. `vector` is on the CPU.

    A module that serves layers of several widths has an entry for each, `name (width)`.
    """
    names = [name for (name, *_), _ in layers]
    found: dict[str, Statistics] = {}
    parts = torch.split(vector.double(), [length for _, length in layers])
    for ((name, kind, width), _), part in zip(layers, parts, strict=True):
        (count, total, squares), histogram, active = part[:3].tolist(), part[3 : 3 + NUM_BINS], part[3 + NUM_BINS :]
        mean = total / count
        label = f"{name} ({width})" if names.count(name) > 1 else name
        found[label] = Statistics(
            kind=kind,
            mean=mean,
            std=math.sqrt(max(0.0, squares / count - mean**2)),
            dead=(active == 0).double().mean().item() if len(active) else None,
            histogram=(histogram / count).tolist(),
        )
    return found
