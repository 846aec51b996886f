"""Networks that come with weights: published ones, backbones of other libraries, feature extractors, word vectors."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.pretrained.vectors import PretrainedVectors as PretrainedVectors

HOMES = {"PretrainedVectors": "vectors"}
__all__ = list(HOMES)  # read by name below


def __getattr__(name: str) -> object:
    """Import a class when it is first asked for."""
    if name not in HOMES:
        raise AttributeError(f"zoo.pretrained has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"zoo.pretrained.{HOMES[name]}"), name)
