"""Measured scores: one line per seed in <recipe>.results.jsonl beside the recipe."""

import fnmatch
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any, TypedDict

import yaml

from zoo.cli.catalog import Score
from zoo.errors import ZooError


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


# trainer settings that change what is shown or kept, and no number
_NO_NUMBERS = {"logger", "profiler", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"}


def settings_checksum(recipe: Path) -> str:
    """Short SHA-256 of the settings that decide a recipe's score: model, data, and the trainer's numeric settings.

    Comments, reports, the seed (each result states its own) and what the trainer only shows do not count.
    """
    text = json.dumps(scored_settings(yaml.safe_load(recipe.read_text(encoding="utf-8"))), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def scored_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The part of a recipe's settings that its score depends on."""
    trainer = {name: value for name, value in settings["trainer"].items() if name not in _NO_NUMBERS}
    own = [callback for callback in trainer.pop("callbacks", []) if not callback["class_path"].startswith("zoo.reports.")]
    return {"model": settings["model"], "data": settings["data"], "trainer": {**trainer, "callbacks": own}}


def current_results(recipe: Path) -> list[Result]:
    """The latest result of each seed that the recipe as it stands has, all of the commit that was measured last.

    The recipe's checksum cannot see that a model's code has changed: a mean over commits would mix two networks.
    """
    path = results_path(recipe)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    checksum = settings_checksum(recipe)
    lines = [line for line in lines if line["config"] == checksum]
    latest = {line["seed"]: line for line in lines if line["commit"] == lines[-1]["commit"]}
    return [latest[seed] for seed in sorted(latest)]


def summarise(recipe: Path, headline: str | tuple[str, ...], settings: dict[str, Any]) -> Score:
    """Mean and sample deviation over seeds of the headline metric, the first of several that was measured.

    Raises:
        ZooError: if none was.
    """
    results = current_results(recipe)
    patterns = (headline,) if isinstance(headline, str) else headline
    names = results[0]["metrics"] if results else patterns
    metric = next((name for pattern in patterns for name in names if fnmatch.fnmatch(name, pattern)), None)
    if metric is None:
        raise ZooError(f"{recipe} was measured without {' or '.join(patterns)}: name a callback there that reports it")
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
