"""Model arguments that the data determines: fill in missing ones and refuse contradictions."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from zoo.errors import ZooError
from zoo.public import current_name
from zoo.training.facts import facts_of

FACTS = ("input_shape", "num_classes", "num_targets", "vocab_size")


def user_packages() -> list[str]:
    """Return the packages that the user trusts, from `ZOO_IMPORTS`. They may lie in the working directory."""
    own = [name for name in os.environ.get("ZOO_IMPORTS", "").split(",") if name]
    if own and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # an installed command does not search the working directory
    return own


def import_class(path: str) -> type:
    """Import the class at a dotted path. Paths stored by earlier versions work too."""
    module, _, name = current_name(path).rpartition(".")
    return getattr(importlib.import_module(module), name)


def resolve_links(model_class: type, model_args: Mapping[str, Any], data: object) -> dict[str, Any]:
    """Return the constructor arguments of `model_class` that `data` determines and that the user did not give.

    jsonargparse's `link_arguments` would silently replace a value given by the user, and omit it from the saved configuration.

    Raises:
        ZooError: if the user gave a value that contradicts the data.
    """
    resolved, facts = {}, vars(facts_of(data))
    for name in FACTS:
        if name not in inspect.signature(model_class).parameters:
            continue
        fact, given = facts[name], model_args.get(name)
        if fact is None:
            continue
        if given is None:
            resolved[name] = list(fact) if isinstance(fact, tuple) else fact
        elif _plain(given) != _plain(fact):
            raise ZooError(
                f"model.{name} is {_plain(given)}, but {type(data).__name__} has {_plain(fact)}: "
                "leave it out, or change the data"
            )
    return resolved


@runtime_checkable
class ExpectsInput(Protocol):
    """A system whose pretrained weights say how inputs must be prepared."""

    @staticmethod
    def expected_input(**arguments: Any) -> dict[str, Any]:
        """Return the facts about inputs that the weights determine, from some of the system's arguments."""


def expected_input(model_class: type, model_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return how inputs must be prepared for the pretrained weights that a system starts from; empty if it has none."""
    if not issubclass(model_class, ExpectsInput):
        return {}
    read = inspect.signature(model_class.expected_input).parameters
    return model_class.expected_input(**{name: value for name, value in model_args.items() if name in read})


def resolve_preparation(expected: Mapping[str, Any], data_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the datamodule that pretrained weights determine and that the user did not give.

    Raises:
        ZooError: if the user gave another mean or standard deviation.
    """
    resolved = {}
    if expected.get("rgb") is False and data_args.get("rgb"):
        raise ZooError("the pretrained weights take grey images: set data.rgb to false, or choose other weights")
    for name, value in expected.items():
        if name not in data_args:
            continue
        if name in ("mean", "std") and data_args.get("rgb") is False and len(value) == 3:
            value = [sum(value) / 3]
        given = data_args[name]
        if given is None:
            resolved[name] = value
        elif name in ("mean", "std") and differ(given, value):
            raise ZooError(
                f"the pretrained weights expect data.{name} {_plain(value)}, got {_plain(given)}: "
                "leave it out, or set it to null"
            )
    return resolved


def differ(given: Sequence[float], wanted: Sequence[float]) -> bool:
    """Return whether means or standard deviations of images differ by more than rounding."""
    return len(given) != len(wanted) or any(abs(a - b) > 0.01 for a, b in zip(given, wanted, strict=True))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
