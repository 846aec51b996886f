"""What the zoo holds, read from the generated index: no torch, no YAML, no waiting."""

import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from zoo.cli.names import nearest
from zoo.errors import UsageError

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


class LayerSees(TypedDict):
    """How much of the picture one value of a layer's output sees, in pixels."""

    layer: str
    maps: str  # height x width of the output
    jump: str  # pixels between neighbours
    field: str


class Entry(TypedDict):
    """A model of the catalog."""

    name: str
    class_path: str
    task: str
    card: str  # relative to the package
    num_params: int
    counted_at: dict[str, Any]  # the arguments that num_params is for
    tested_at: dict[str, Any]  # those that the contract test builds it with
    fields: list[LayerSees]  # of networks with convolutions
    scores: list[Score]


class Weights(TypedDict):
    """A trained model that comes with the zoo."""

    name: str
    class_path: str
    card: str
    num_params: int
    num_bytes: int
    recipe: str
    data: str
    results: dict[str, float]


def entries() -> list[Entry]:
    """Every model, in the index's order."""
    return json.loads(INDEX.read_text(encoding="utf-8"))["models"]


def weights() -> list[Weights]:
    """Every trained model that `zoo.load` knows."""
    return json.loads(INDEX.read_text(encoding="utf-8"))["weights"]


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
    """Print the models whose names match, a line per recipe, then the trained weights whose names match."""
    models, published = entries(), weights()
    chosen = [entry for entry in models if fnmatch.fnmatch(entry["name"], pattern)]
    trained = [item for item in published if fnmatch.fnmatch(item["name"], pattern)]
    if not chosen and not trained:
        names = [entry["name"] for entry in models] + [item["name"] for item in published]
        raise UsageError(f"no model matches {pattern!r}: {nearest(pattern.strip('*'), names)}")
    rows = [("model", "task", "data", "recipe", "params", "score", "time")] if chosen else []
    for entry in chosen:
        head = (entry["name"], entry["task"])
        for score in entry["scores"]:
            seconds = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
            rows.append((*head, score["data"], score["recipe"], params_text(score), score_text(score), seconds))
            head = ("", "")
        if not entry["scores"]:
            rows.append((*head, "", "", f"{entry['num_params']:,}", "no recipe", ""))
    print_columns(rows)
    if trained:
        if chosen:
            print()
        lines = [(item["name"], item["data"], f"{item['num_params']:,}", results_text(item)) for item in trained]
        print_columns([("weights (zoo.load)", "data", "params", "score"), *lines])
    return 0


def results_text(item: Weights) -> str:
    """What published weights scored in the test of their run."""
    return ", ".join(f"{name} {value:.4f}" for name, value in item["results"].items() if name.startswith("test/"))


def print_info(name: str) -> int:
    """Print a model's or published weights' card without its front matter, after the facts in it."""
    models = entries()
    of_cards = {Path(entry["card"]).stem: entry for entry in reversed(models)}  # a card's first: resnet means resnet18
    found = {**of_cards, **{entry["name"]: entry for entry in models}}
    trained = {item["name"]: item for item in weights()}
    if name in trained:
        item = trained[name]
        print(f"{item['class_path']}  {item['num_params']:,} parameters, {item['num_bytes']:,} bytes: zoo.load({name!r})\n")
        _print_card(item["card"])
        return 0
    if name not in found:
        raise UsageError(f"no model {name!r}: {nearest(name, [*found, *trained])}")
    entry = found[name]
    at = ", ".join(f"{key}={value}" for key, value in entry["counted_at"].items())
    name = entry["name"]
    print(f"{name}: {entry['class_path']}  {entry['num_params']:,} parameters ({at})\n")
    _print_card(entry["card"])
    if entry["fields"]:
        size = "x".join(map(str, entry["counted_at"]["input_shape"][1:]))
        print(f"\nReceptive field of {name} at {size} pixels, at the last layer of each resolution:\n")
        rows = [("layer", "output", "jump", "sees"), *((r["layer"], r["maps"], r["jump"], r["field"]) for r in entry["fields"])]
        print_columns(rows)
    return 0


def _print_card(card: str) -> None:
    text = (ZOO / card).read_text(encoding="utf-8").split("---\n", 2)[2]
    print("\n".join(line for line in text.strip().splitlines() if not line.startswith("<!--")))


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of cells, each column as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
