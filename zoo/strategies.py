"""Strategies that spread a run over processes, by their public names."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.training.parallel import FSDP2 as FSDP2

HOMES = {"FSDP2": "parallel"}
__all__ = list(HOMES)  # read by name below


def __getattr__(name: str) -> object:
    """Import a strategy when it is first asked for."""
    if name not in HOMES:
        raise AttributeError(f"zoo.strategies has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"zoo.training.{HOMES[name]}"), name)
