"""Measured scores: one line per seed in <recipe>.results.jsonl next to the recipe."""

import fnmatch
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any, TypedDict

from zoo.cli.catalog import Score
from zoo.cli.settings import read_settings
from zoo.errors import ZooError


class Result(TypedDict):
    """The result of one run of a recipe."""

    recipe: str
    seed: int
    config: str  # checksum of the settings; results of older settings are ignored
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
    """Return the path of the results of a recipe."""
    return recipe.with_suffix(".results.jsonl")


# trainer settings that affect logging and files, but not the score
_NO_NUMBERS = {"logger", "profiler", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"}


def settings_checksum(recipe: Path) -> str:
    """Return a short SHA-256 of the settings that affect the score of a recipe: model, data and trainer.

    Comments, reports, the seed (stated in each result) and the logging settings of the trainer do not count.
    """
    text = json.dumps(scored_settings(read_settings(recipe)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def scored_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that affect its score."""
    trainer = {name: value for name, value in settings["trainer"].items() if name not in _NO_NUMBERS}
    own = [callback for callback in trainer.pop("callbacks", []) if not callback["class_path"].startswith("zoo.reports.")]
    return {"model": settings["model"], "data": settings["data"], "trainer": {**trainer, "callbacks": own}}


def current_results(recipe: Path) -> list[Result]:
    """Return the latest result per seed for the current settings of a recipe, from the commit that was measured last.

    A change of the model's code does not change the checksum, so a mean over commits could mix two networks.
    """
    path = results_path(recipe)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    checksum = settings_checksum(recipe)
    lines = [line for line in lines if line["config"] == checksum]
    latest = {line["seed"]: line for line in lines if line["commit"] == lines[-1]["commit"]}
    return [latest[seed] for seed in sorted(latest)]


def summarise(recipe: Path, headline: str | tuple[str, ...], settings: dict[str, Any]) -> Score:
    """Compute mean and sample standard deviation of the headline metric over seeds.

    If a model has several headline metrics, the first one that was measured counts.

    Raises:
        ZooError: if none of them was measured.
    """
    results = current_results(recipe)
    patterns = (headline,) if isinstance(headline, str) else headline
    names = results[0]["metrics"] if results else patterns
    metric = next((name for pattern in patterns for name in names if fnmatch.fnmatch(name, pattern)), None)
    if metric is None:
        raise ZooError(f"{recipe} was measured without {' or '.join(patterns)}: add a callback that reports it")
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
