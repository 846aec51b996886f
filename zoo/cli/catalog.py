"""Print models and cards from the generated index, without importing torch or YAML."""

import fnmatch
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from zoo.cli.names import nearest
from zoo.errors import UsageError

ZOO = Path(__file__).resolve().parents[1]
INDEX = ZOO / "catalog.json"


class Reference(TypedDict):
    """A score that a recipe's score is compared with."""

    value: float
    about: str  # the model and its source, or the method
    metric: str
    ours: str  # our score in this metric if the recipe's headline is another metric; else empty


class Score(TypedDict):
    """The score of a recipe over seeds."""

    recipe: str
    data: str
    metric: str
    mean: float | None  # None: not measured
    sd: float
    num_seeds: int
    stale: bool  # measured before the code changed what the recipe computes
    published: Reference | None
    baseline: Reference | None
    below_baseline: bool
    explanation: str  # why it is below its baseline
    num_params: int | None  # of the network in the recipe
    seconds: float
    hardware: str


class LayerSees(TypedDict):
    """The receptive field of a layer, in pixels."""

    layer: str
    maps: str  # height x width of the output
    jump: str  # pixels between neighbours
    field: str


class Entry(TypedDict):
    """A model in the catalog."""

    name: str
    class_path: str
    task: str
    card: str  # relative to the package
    num_params: int
    counted_at: dict[str, Any]  # arguments that num_params was counted with
    tested_at: dict[str, Any]  # arguments for the contract test
    fields: list[LayerSees]  # for networks with convolutions
    scores: list[Score]


class Weights(TypedDict):
    """Published weights that come with the zoo."""

    name: str
    class_path: str
    card: str
    num_params: int
    num_bytes: int
    recipe: str
    data: str
    results: dict[str, float]


def entries() -> list[Entry]:
    """Return all models in the order of the index."""
    return json.loads(INDEX.read_text(encoding="utf-8"))["models"]


def weights() -> list[Weights]:
    """Return all published weights, which `zoo.load` loads by name."""
    return json.loads(INDEX.read_text(encoding="utf-8"))["weights"]


def digits(mean: float, sd: float, num_seeds: int) -> str:
    """Format a score with as many digits as its deviation supports.

    The deviation over seeds has one digit, or two if the first is 1, and the mean has as many decimals. The score of one seed
    has two digits and is marked with ≈. A score that is equal for all seeds has four.
    """
    if num_seeds > 1 and sd > 0:
        exponent = math.floor(math.log10(sd))
        decimals = -exponent + (sd < 2 * 10**exponent)
        return f"{_fixed(mean, decimals)} ± {_fixed(sd, decimals)}"
    num_digits = 4 if num_seeds > 1 else 2
    value = _fixed(mean, num_digits - 1 - math.floor(math.log10(abs(mean)))) if mean else "0"
    return value if num_seeds > 1 else f"≈ {value}"


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals):.{max(decimals, 0)}f}"


def score_text(score: Score) -> str:
    """Format a score for tables: mean and standard deviation, number of seeds, and marks such as stale."""
    if score["mean"] is None:
        return "not measured yet"
    value = digits(score["mean"], score["sd"], score["num_seeds"])
    notes = [f"n={score['num_seeds']}", *["stale"] * score["stale"], *["below baseline"] * score["below_baseline"]]
    return f"{score['metric']} {value} ({', '.join(notes)})"


def reference_value(reference: Reference | None) -> str:
    """Format the value of a published score or of a baseline; empty if there is none.

    If it is of another metric than our score, the metric and our value in it follow.
    """
    if reference is None:
        return ""
    other = f" {reference['metric']}, ours {reference['ours']}" if reference["ours"] else ""
    return f"{reference['value']:.4g}{other}"


def reference_text(reference: Reference | None) -> str:
    """Format a published score or a baseline with its description."""
    return "" if reference is None else f"{reference_value(reference)} ({reference['about']})"


def params_text(score: Score) -> str:
    """Format the number of parameters of a recipe's network; empty if it was not measured."""
    return "" if score["num_params"] is None else f"{score['num_params']:,}"


def print_list(pattern: str) -> int:
    """Print the models whose names match, one line per recipe, then the published weights whose names match."""
    models, published = entries(), weights()
    chosen = [entry for entry in models if fnmatch.fnmatch(entry["name"], pattern)]
    trained = [item for item in published if fnmatch.fnmatch(item["name"], pattern)]
    if not chosen and not trained:
        names = [entry["name"] for entry in models] + [item["name"] for item in published]
        raise UsageError(f"no model matches {pattern!r}: {nearest(pattern.strip('*'), names)}")
    rows = [("model", "task", "data", "recipe", "params", "score", "baseline", "published", "time")] if chosen else []
    for entry in chosen:
        head = (entry["name"], entry["task"])
        for score in entry["scores"]:
            seconds = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
            compared = (reference_value(score["baseline"]), reference_value(score["published"]))
            rows.append((*head, score["data"], score["recipe"], params_text(score), score_text(score), *compared, seconds))
            head = ("", "")
        if not entry["scores"]:
            rows.append((*head, "", "", f"{entry['num_params']:,}", "no recipe", "", "", ""))
    print_columns(rows)
    if trained:
        if chosen:
            print()
        lines = [(item["name"], item["data"], f"{item['num_params']:,}", results_text(item)) for item in trained]
        print_columns([("weights (zoo.load)", "data", "params", "score"), *lines])
    return 0


def results_text(item: Weights) -> str:
    """Format the test scores of published weights."""
    return ", ".join(f"{name} {value:.4f}" for name, value in item["results"].items() if name.startswith("test/"))


def print_info(name: str) -> int:
    """Print the card of a model or of published weights, after a line with class and number of parameters."""
    models = entries()
    # A card with several models stands for its first: resnet means resnet18.
    by_card = {Path(entry["card"]).stem: entry for entry in reversed(models)}
    found = {**by_card, **{entry["name"]: entry for entry in models}}
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
        rows = [
            ("layer", "output", "jump", "field"),
            *((r["layer"], r["maps"], r["jump"], r["field"]) for r in entry["fields"]),
        ]
        print_columns(rows)
    return 0


def _print_card(card: str) -> None:
    text = (ZOO / card).read_text(encoding="utf-8").split("---\n", 2)[2]
    print("\n".join(line for line in text.strip().splitlines() if not line.startswith("<!--")))


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of cells with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
