"""Read the header of a recipe: comments above the settings, which end with data about the score.

    # MLP (784-256-256-10) on Fashion-MNIST.
    # ...
    # published:
    #   value: 0.8833
    #   metric: test/acc
    #   protocol: MLP 256-128-100
    #   source: Xiao et al., 2017, arXiv:1708.07747
    # baseline: nearest_neighbour

The data are YAML, from the first line that starts with a field's name to the end of the header. They are comments, so Lightning
does not read them and they do not change the checksum of the settings.
"""

import re
from pathlib import Path
from typing import TypedDict

import yaml

from zoo.cli.names import nearest
from zoo.errors import ZooError


class Published(TypedDict):
    """A score that others published for the same task."""

    value: float
    metric: str  # our metric that it is compared with
    protocol: str  # the model and what differs from our protocol
    source: str


class Header(TypedDict, total=False):
    """The data in the header of a recipe. Every field may be absent."""

    published: Published
    baseline: str  # method of benchmarks/baselines.py, which measures the value
    explanation: str  # why the score is below its baseline
    seeds: int  # number of seeds to measure; by default the training time decides


_TYPES: dict[str, type] = {"published": dict, "baseline": str, "explanation": str, "seeds": int}
_START = re.compile(rf"# ({'|'.join(_TYPES)}):")


def read_header(recipe: Path) -> Header:
    """Return the data in the header of a recipe; empty if there are none.

    Raises:
        ZooError: if they are not YAML, or a field is unknown, incomplete or of the wrong type.
    """
    lines: list[str] = []
    for line in recipe.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if lines or _START.match(line):
            lines.append(line[2:])
    try:
        header = yaml.safe_load("\n".join(lines)) or {}
    except yaml.YAMLError as error:
        raise ZooError(f"{recipe}: the data in its header are not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(header, dict):
        raise ZooError(f"{recipe}: expected fields in its header, got {header!r}")
    for name, value in header.items():
        if name not in _TYPES:
            raise ZooError(f"{recipe}: its header has no field {name!r}: {nearest(str(name), list(_TYPES))}")
        if not isinstance(value, _TYPES[name]):
            raise ZooError(f"{recipe}: expected {_TYPES[name].__name__} for {name!r} in its header, got {value!r}")
    if "published" in header:
        _check_published(recipe, header["published"])
    return header  # type: ignore[return-value]  # checked above


def _check_published(recipe: Path, published: dict[str, object]) -> None:
    fields = Published.__annotations__
    if published.keys() != fields.keys():
        raise ZooError(f"{recipe}: `published` in its header needs the fields {', '.join(fields)}, got {', '.join(published)}")
    for name, value in published.items():
        if not isinstance(value, int | float if name == "value" else str):
            raise ZooError(f"{recipe}: published.{name} in its header must be {fields[name].__name__}, got {value!r}")
