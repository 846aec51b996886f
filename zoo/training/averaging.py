"""Average the weights of checkpoints (Izmailov et al., 2018, "Averaging Weights Leads to Wider Optima", arXiv:1803.05407)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.average import Average, batch_norms
from zoo.training.system import Outputs, System

_EQUAL = ("class_path", "data")  # parts of checkpoints that have to be equal
_MOST_NAMED = 3


def average_weights(checkpoints: Mapping[str, dict[str, Any]]) -> dict[str, Tensor]:
    """Return the mean of the weights of checkpoints, which are given by their names. Integers are those of the last one.

    Raises:
        ZooError: if the checkpoints differ in class, in the preparation of the data, or in the names or shapes of weights.
    """
    (first_name, first), *others = checkpoints.items()
    for name, other in others:
        for part in _EQUAL:
            if other.get(part) != first.get(part):
                shown = f" ({other.get(part)}, {first.get(part)})" if part == "class_path" else ""
                raise ZooError(
                    f"{name} and {first_name} differ in {part}{shown}: average checkpoints of one model and one data set"
                )
        if differing := _differing(other["state_dict"], first["state_dict"]):
            more = f" and {len(differing) - _MOST_NAMED} more" if len(differing) > _MOST_NAMED else ""
            raise ZooError(f"{name} does not fit {first_name}: {'; '.join(differing[:_MOST_NAMED])}{more}")
    states = [checkpoint["state_dict"] for checkpoint in checkpoints.values()]
    return {name: _mean([state[name] for state in states]) for name in states[-1]}


def _mean(values: list[Tensor]) -> Tensor:
    if not values[0].is_floating_point():
        return values[-1]
    total = values[0].double()
    for value in values[1:]:
        total = total + value
    return (total / len(values)).to(values[0].dtype)


def _differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> list[str]:
    """Describe the weights that differ in name or shape."""
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (a, b)]
    names = dict.fromkeys([*a, *b])
    return [
        f"{name} is {shapes[0].get(name, 'missing')}, not {shapes[1].get(name, 'missing')}"
        for name in names
        if shapes[0].get(name) != shapes[1].get(name)
    ]


class _TrainingStep(nn.Module):
    """The step of a system as a module that is called with a batch."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system

    def forward(self, batch: Any) -> tuple[Tensor, Outputs]:
        return self.system.step(batch, torch.ones(()))


def has_statistics(system: System) -> bool:
    """Return whether a system has BatchNorm statistics, which an average of weights invalidates."""
    return bool(batch_norms(system))


def refresh_statistics(system: System, batches: Iterable[Any]) -> dict[str, Tensor]:
    """Return the weights of a system with BatchNorm statistics that belong to them, from steps on training batches.

    All batches have equal weight. The step runs in training mode, so that dropout and noise are as in training.
    """
    average = Average(_TrainingStep(system.train()), decay=0.0)
    average.refresh_statistics((batch,) for batch in batches)
    return {name.removeprefix("system."): value for name, value in average.module.state_dict().items()}
