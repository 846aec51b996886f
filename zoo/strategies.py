"""Public names of the strategies that distribute a run over several processes."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.training.parallel import FSDP2 as FSDP2

HOMES = {"FSDP2": "parallel"}
__all__ = list(HOMES)  # resolved by __getattr__


def __getattr__(name: str) -> object:
    """Import a strategy at its first use."""
    if name not in HOMES:
        raise AttributeError(f"zoo.strategies has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"zoo.training.{HOMES[name]}"), name)
