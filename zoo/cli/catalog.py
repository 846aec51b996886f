"""What the zoo holds, read from the generated index: no torch, no YAML, no waiting."""

import fnmatch
import json
from pathlib import Path
from typing import Any, TypedDict

from zoo.cli.names import UsageError, nearest

ZOO = Path(__file__).resolve().parents[1]
INDEX = ZOO / "catalog.json"


class Score(TypedDict):
    """What a recipe measured, over seeds."""

    recipe: str
    data: str
    metric: str
    mean: float | None  # None: not measured
    sd: float
    num_seeds: int
    num_params: int | None  # of the network as the recipe builds it
    seconds: float
    hardware: str


class Entry(TypedDict):
    """A model of the catalog."""

    name: str
    class_path: str
    task: str
    card: str  # relative to the package
    num_params: int
    counted_at: dict[str, Any]  # the arguments that num_params and the contract test are for
    scores: list[Score]


def entries() -> list[Entry]:
    """Every model, in the index's order."""
    return json.loads(INDEX.read_text())["models"]


def score_text(score: Score) -> str:
    """A score as tables show it: mean and deviation over seeds."""
    if score["mean"] is None:
        return "not measured yet"
    spread = f" ± {score['sd']:.4f}" if score["num_seeds"] > 1 else ""
    return f"{score['metric']} {score['mean']:.4f}{spread} (n={score['num_seeds']})"


def params_text(score: Score) -> str:
    """How many parameters the recipe's network has, where it was measured."""
    return "" if score["num_params"] is None else f"{score['num_params']:,}"


def print_list(pattern: str) -> int:
    """Print the models whose names match, a line per recipe."""
    chosen = [entry for entry in entries() if fnmatch.fnmatch(entry["name"], pattern)]
    if not chosen:
        raise UsageError(f"no model matches {pattern!r}: {nearest(pattern.strip('*'), [entry['name'] for entry in entries()])}")
    rows = [("model", "task", "data", "recipe", "params", "score", "time")]
    for entry in chosen:
        head = (entry["name"], entry["task"])
        for score in entry["scores"]:
            seconds = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
            rows.append((*head, score["data"], score["recipe"], params_text(score), score_text(score), seconds))
            head = ("", "")
        if not entry["scores"]:
            rows.append((*head, "", "", "", "no recipe", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def print_info(name: str) -> int:
    """Print a model's card without its front matter, after the facts in it."""
    found = {entry["name"]: entry for entry in entries()}
    if name not in found:
        raise UsageError(f"no model {name!r}: {nearest(name, list(found))}")
    entry = found[name]
    at = ", ".join(f"{key}={value}" for key, value in entry["counted_at"].items())
    print(f"{entry['class_path']}  {entry['num_params']:,} parameters ({at})\n")
    text = (ZOO / entry["card"]).read_text().split("---\n", 2)[2]
    print("\n".join(line for line in text.strip().splitlines() if not line.startswith("<!--")))
    return 0
