"""Read baselines: scores of simple methods, one line per recipe in recipes/baselines.jsonl.

`python benchmarks/baselines.py` measures them, on the data, the split and the metric of the recipe.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypedDict

from zoo.cli.headers import read_header
from zoo.cli.names import ROOT
from zoo.errors import ZooError

BASELINES = ROOT / "baselines.jsonl"
_HIGHER = {
    *("acc", "f1", "r2", "modes", "kept", "precision", "recall", "density", "coverage", "high", "overlap"),
    *("recall@1", "map@r", "knn"),
}
_LOWER = {"loss", "rmse", "mse", "l1", "fd", "fid", "kd", "kid", "mase", "bits", "negative", "nll", "cycle", "perplexity"}


class Baseline(TypedDict):
    """The baseline of one recipe."""

    recipe: str
    method: str  # as in the recipe's header
    how: str  # the method in words
    config: str  # checksum of the data and the reports
    metrics: dict[str, float]
    seconds: float
    versions: dict[str, str]
    commit: str
    date: str
    command: str


def read_baselines() -> list[Baseline]:
    """Return all measured baselines, in the order of the recipes' names."""
    lines = BASELINES.read_text(encoding="utf-8").splitlines() if BASELINES.exists() else []
    return [json.loads(line) for line in lines]


def measured_baseline(recipe: Path, settings: dict[str, Any]) -> Baseline | None:
    """Return the baseline of a recipe, or None if it was not measured for the recipe's current method, data and reports."""
    method, config = read_header(recipe).get("baseline"), baseline_checksum(settings)
    wanted = (recipe.stem, method, config)
    return next((line for line in read_baselines() if (line["recipe"], line["method"], line["config"]) == wanted), None)


def baseline_checksum(settings: dict[str, Any]) -> str:
    """Return a short SHA-256 of what a baseline depends on: the reports, and the data settings without those of batches."""
    data = settings["data"]
    arguments = {name: value for name, value in data.get("init_args", {}).items() if name not in ("batch_size", "num_workers")}
    parts = {"class_path": data["class_path"], **arguments, "callbacks": settings["trainer"].get("callbacks", [])}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def higher_is_better(metric: str) -> bool:
    """Return whether a higher value of a metric is the better one.

    Raises:
        ZooError: if the metric is unknown.
    """
    word = metric.rpartition("/")[2].partition("_")[0]
    if word not in _HIGHER | _LOWER:
        raise ZooError(f"unknown metric {metric}: add {word!r} to _HIGHER or _LOWER in {Path(__file__).name}")
    return word in _HIGHER
