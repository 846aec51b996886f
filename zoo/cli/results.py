"""Measured scores: one line per seed in <recipe>.results.jsonl next to the recipe."""

import fnmatch
import hashlib
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from zoo.cli.baselines import higher_is_better, measured_baseline
from zoo.cli.catalog import Reference, Score, digits
from zoo.cli.headers import read_header
from zoo.cli.names import ROOT
from zoo.cli.settings import read_settings
from zoo.errors import ZooError

BEHAVIOURS = ROOT / "behaviour.json"  # what each recipe computes in a few small steps with the current code
LONG = 15 * 60  # seconds: a recipe that takes longer is measured with one seed instead of NUM_SEEDS
NUM_SEEDS = 3
_SAME = 5e-4  # largest relative difference between behaviours that agree to four digits

Behaviour = dict[str, list[float]]  # the content of behaviour.json in a run directory


class Result(TypedDict):
    """The result of one run of a recipe."""

    recipe: str
    seed: int
    config: str  # checksum of the settings; results of older settings are ignored
    behaviour: Behaviour  # of the code that was measured; old lines lack it
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


class Measured(NamedTuple):
    """The results that make up the score of a recipe."""

    results: list[Result]  # one per seed
    stale: bool  # whether the code has since changed what the recipe computes


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
    average = {"ema": settings["ema"]} if settings.get("ema") is not None else {}
    return {"model": settings["model"], "data": settings["data"], "trainer": {**trainer, "callbacks": own}, **average}


def read_results(recipe: Path) -> list[Result]:
    """Return all results of a recipe, the oldest first."""
    path = results_path(recipe)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def read_behaviours() -> dict[str, Behaviour]:
    """Return the current behaviour of each recipe, by name."""
    found: dict[str, Behaviour] = json.loads(BEHAVIOURS.read_text(encoding="utf-8"))
    return found


def same_behaviour(one: Behaviour, other: Behaviour) -> bool:
    """Return whether two behaviours agree to four digits in all values that both contain.

    A value in only one of them, such as the score of a new report, does not count.
    """
    names = one.keys() & other.keys()
    return bool(names) and all(
        len(one[name]) == len(other[name])
        and all(math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-6) for a, b in zip(one[name], other[name], strict=True))
        for name in names
    )


def current_results(recipe: Path) -> Measured:
    """Return the results that make up the score of a recipe: the latest one per seed, all of the same settings and behaviour.

    Results of the current behaviour are fresh. After a change, the old score stays and is marked as stale until enough seeds
    are measured again, because one new seed does not replace three.
    """
    fresh, old = _fresh_and_old(recipe)
    stale = len(fresh) < min(len(old), num_seeds_owed(recipe))
    return Measured(old if stale else fresh, stale)


def measured_seeds(recipe: Path) -> set[int]:
    """Return the seeds of a recipe that are measured with the present settings and behaviour, even if its score is stale."""
    return {result["seed"] for result in _fresh_and_old(recipe)[0]}


def _fresh_and_old(recipe: Path) -> tuple[list[Result], list[Result]]:
    """Return the results of the present settings: those of the present behaviour, and those of the one before."""
    checksum = settings_checksum(recipe)
    lines = [line for line in read_results(recipe) if line["config"] == checksum and "behaviour" in line]
    present = read_behaviours().get(recipe.stem, lines[-1]["behaviour"] if lines else {})
    fresh = _by_seed(line for line in lines if same_behaviour(line["behaviour"], present))
    others = [line for line in lines if not same_behaviour(line["behaviour"], present)]
    return fresh, _by_seed(line for line in others if same_behaviour(line["behaviour"], others[-1]["behaviour"]))


def _by_seed(lines: Iterator[Result]) -> list[Result]:
    latest = {line["seed"]: line for line in lines}
    return [latest[seed] for seed in sorted(latest)]


def expected_seconds(recipe: Path) -> float | None:
    """Return how long the last run of a recipe took, with any settings; None if it was never measured."""
    results = read_results(recipe)
    return results[-1]["seconds"] if results else None


def num_seeds_owed(recipe: Path) -> int:
    """Return how many seeds a recipe's score needs: the `seeds` of its header, else 3, or 1 if a run takes over 15 minutes.

    A recipe that was never measured owes one seed, whose time then decides.
    """
    seconds = expected_seconds(recipe)
    return read_header(recipe).get("seeds", 1 if seconds is None or seconds > LONG else NUM_SEEDS)


def headline_of(metrics: list[str], headline: str | tuple[str, ...]) -> str | None:
    """Return the headline metric: the first one that matches the first pattern with a match; None without any match."""
    patterns = (headline,) if isinstance(headline, str) else headline
    return next((name for pattern in patterns for name in metrics if fnmatch.fnmatch(name, pattern)), None)


def summarise(recipe: Path, headline: str | tuple[str, ...], settings: dict[str, Any]) -> Score:
    """Compute mean and sample standard deviation of the headline metric over seeds, and compare them with the references.

    If a model has several headline metrics, the first one that was measured counts.

    Raises:
        ZooError: if none of them was measured.
    """
    results, stale = current_results(recipe)
    header, baseline = read_header(recipe), measured_baseline(recipe, settings)
    patterns = (headline,) if isinstance(headline, str) else headline
    names = list(results[0]["metrics"]) if results else list(patterns)
    metric = headline_of(names, patterns)
    if metric is None:
        raise ZooError(f"{recipe} was measured without {' or '.join(patterns)}: add a callback that reports it")
    mean, sd = mean_and_sd(results, metric)
    data = settings["data"]["class_path"].rsplit(".", 1)[-1]
    source = settings["data"].get("init_args", {}).get("source")
    score = Score(
        recipe=recipe.stem,
        data=f"{data} {source}" if source else data,
        metric=metric,
        mean=mean,
        sd=sd,
        num_seeds=len(results),
        stale=stale,
        published=None,
        baseline=None,
        below_baseline=False,
        explanation=header.get("explanation", "").strip(),
        num_params=results[-1]["num_params"] if results else None,
        seconds=round(statistics.mean(result["seconds"] for result in results), 1) if results else 0.0,
        hardware=results[-1]["hardware"] if results else "",
    )
    if "published" in header:
        shown = header["published"]
        about = f"{shown['protocol']}; {shown['source']}"
        score["published"] = _reference(shown["value"], shown["metric"], about, metric, results)
    if baseline is not None and (known := headline_of(list(baseline["metrics"]), patterns if mean is None else metric)):
        value = baseline["metrics"][known]
        score["baseline"] = _reference(value, known, baseline["how"], known if mean is None else metric, results)
        score["below_baseline"] = mean is not None and (mean < value if higher_is_better(known) else mean > value)
    return score


def mean_and_sd(results: list[Result], metric: str) -> tuple[float | None, float]:
    """Return mean and sample standard deviation of a metric over seeds, to six digits; None and 0 without results."""
    values = [result["metrics"][metric] for result in results if metric in result["metrics"]]
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return (float(f"{statistics.mean(values):.6g}") if values else None), float(f"{sd:.6g}")


def _reference(value: float, metric: str, about: str, headline: str, results: list[Result]) -> Reference:
    """Return a score to compare with, and our own score in its metric if that is not the headline."""
    mean, sd = mean_and_sd(results, metric)
    ours = "" if metric == headline else "not measured" if mean is None else digits(mean, sd, len(results))
    return Reference(value=float(f"{value:.6g}"), about=about, metric=metric, ours=ours)
