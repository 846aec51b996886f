"""Measured scores: one line per seed in <recipe>.results.jsonl beside the recipe."""

import fnmatch
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any, TypedDict

import yaml

from zoo.cli.catalog import Score


class Result(TypedDict):
    """One run of one recipe."""

    recipe: str
    seed: int
    config: str  # checksum of the recipe's settings: a result of older settings does not count
    metrics: dict[str, float]
    seconds: float
    epochs: int
    num_params: int
    precision: str
    hardware: str
    versions: dict[str, str]
    commit: str
    date: str
    command: str


def results_path(recipe: Path) -> Path:
    """Where a recipe's results stand."""
    return recipe.with_suffix(".results.jsonl")


def settings_checksum(recipe: Path) -> str:
    """Short SHA-256 of what a recipe sets, whatever its comments say."""
    settings = yaml.safe_load(recipe.read_text())
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def current_results(recipe: Path) -> list[Result]:
    """The latest result of each seed that the recipe as it stands has, all of the commit that was measured last.

    The recipe's checksum cannot see that a model's code has changed: a mean over commits would mix two networks.
    """
    path = results_path(recipe)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    checksum = settings_checksum(recipe)
    lines = [line for line in lines if line["config"] == checksum]
    latest = {line["seed"]: line for line in lines if line["commit"] == lines[-1]["commit"]}
    return [latest[seed] for seed in sorted(latest)]


def summarise(recipe: Path, headline: str | tuple[str, ...], settings: dict[str, Any]) -> Score:
    """Mean and sample deviation over seeds of the headline metric, the first of several that was measured.

    Raises:
        ValueError: if none was.
    """
    results = current_results(recipe)
    patterns = (headline,) if isinstance(headline, str) else headline
    names = results[0]["metrics"] if results else patterns
    metric = next((name for pattern in patterns for name in names if fnmatch.fnmatch(name, pattern)), None)
    if metric is None:
        raise ValueError(f"{recipe} was measured without {' or '.join(patterns)}: name a callback there that reports it")
    values = [result["metrics"][metric] for result in results]
    data = settings["data"]["class_path"].rsplit(".", 1)[-1]
    source = settings["data"].get("init_args", {}).get("source")
    return Score(
        recipe=recipe.stem,
        data=f"{data} {source}" if source else data,
        metric=metric,
        mean=round(statistics.mean(values), 4) if values else None,
        sd=round(statistics.stdev(values), 4) if len(values) > 1 else 0.0,
        num_seeds=len(values),
        num_params=results[-1]["num_params"] if results else None,
        seconds=round(statistics.mean(result["seconds"] for result in results), 1) if results else 0.0,
        hardware=results[-1]["hardware"] if results else "",
    )
