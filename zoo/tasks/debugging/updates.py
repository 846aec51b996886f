"""Norms of the gradients, weights and updates of layers at one step of an optimizer, measured on the device."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Norms(NamedTuple):
    """Norms of a layer at one step. All of its trained parameters form one vector."""

    gradient: float  # before clipping
    weight: float  # before the update
    update: float  # change of the weights by the step, NaN if the optimizer has not stepped

    @property
    def ratio(self) -> float:
        """Norm of the update divided by the norm of the weights; NaN if the weights are 0."""
        return self.update / self.weight if self.weight else float("nan")


def layer_of(parameter: str) -> str:
    """Return the name of the layer that a parameter belongs to."""
    owner = parameter.split(".parametrizations.")[0] if ".parametrizations." in parameter else parameter.rpartition(".")[0]
    return owner or parameter


class Updates:
    """Measures one step of each optimizer. Its parameters are copied, and compared after the step.

    Args:
        network: names the parameters.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers = {id(parameter): layer_of(name) for name, parameter in network.named_parameters()}
        self._steps: dict[int, tuple[list[nn.Parameter], list[Tensor], list[Tensor]]] = {}  # parameters, copies, norms

    def has(self, optimizer: Optimizer) -> bool:
        """Return whether a step of this optimizer is measured already."""
        return id(optimizer) in self._steps

    @torch.no_grad()
    def before(self, optimizer: Optimizer) -> None:
        """Measure gradients and weights, when the gradients are complete and the optimizer is about to step."""
        owned = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad and id(p) in self._layers]
        gradients = [_norm(torch.zeros_like(p) if p.grad is None else p.grad) for p in owned]
        norms = [*gradients, *(_norm(p) for p in owned)]
        self._steps[id(optimizer)] = owned, [p.detach().clone() for p in owned], norms

    @torch.no_grad()
    def after(self, optimizer: Optimizer) -> None:
        """Measure the updates, right after the optimizer has stepped."""
        if not self.has(optimizer):
            return
        owned, copies, norms = self._steps[id(optimizer)]
        if copies:
            norms += [_norm(p - copy) for p, copy in zip(owned, copies, strict=True)]
            copies.clear()

    def take(self) -> tuple[Callable[[Tensor], list[dict[str, Norms]]], Tensor]:
        """Return all norms as one vector, and a function that reads the vector once it is on the CPU, and forget them.

        The function returns the norms by layer, for each optimizer in the order of their first steps.
        """
        steps, self._steps = list(self._steps.values()), {}
        norms = [norm for _, _, values in steps for norm in values]
        parts = [([self._layers[id(p)] for p in owned], len(values)) for owned, _, values in steps]
        order = list(dict.fromkeys(self._layers.values()))
        return lambda vector: _by_layer(parts, order, vector), torch.stack(norms) if norms else torch.zeros(0)


def _by_layer(parts: list[tuple[list[str], int]], order: list[str], vector: Tensor) -> list[dict[str, Norms]]:
    """Return the norms of layers for each optimizer from those of its parameters: gradients, weights and updates.

    `order` has the layers in the order of the network. An optimizer may have its parameters in another one.
    """
    found = []
    for (names, num), values in zip(parts, torch.split(vector.double(), [num for _, num in parts]), strict=True):
        squares = torch.split(values.square(), len(names)) if names else ()
        layers: dict[str, Any] = {}
        for name in sorted(set(names), key=order.index):
            places = torch.tensor([place for place, other in enumerate(names) if other == name])
            gradient, weight, *update = [part[places].sum().sqrt().item() for part in squares]
            layers[name] = Norms(gradient, weight, update[0] if num == 3 * len(names) else float("nan"))
        found.append(layers)
    return found


def _norm(tensor: Tensor) -> Tensor:
    """Return the Euclidean norm (0-d), at least in float32."""
    tensor = tensor.detach()
    return torch.linalg.vector_norm(tensor if tensor.dtype.itemsize >= 4 else tensor.float())
