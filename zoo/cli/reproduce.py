"""`zoo reproduce`: measure and record the score of a recipe, check it, or find what is missing."""

import fnmatch
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from zoo.cli.measure import Measurement, check_checkout, fit_arguments, measure_all, note_behaviour, run_zoo
from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.results import current_results, expected_seconds, headline_of, measured_seeds, num_seeds_owed
from zoo.cli.settings import read_settings
from zoo.errors import ZooError
from zoo.training.links import import_class
from zoo.training.run_dir import read_run


def reproduce(recipe: str, seeds: list[int], jobs: int) -> int:
    """Run a recipe once per seed, each in a separate process, and append one line per run to its results."""
    path = find_recipe(recipe)
    exit_code = measure_all([Measurement(path, seed) for seed in seeds], jobs)
    _regenerate()
    return exit_code


def reproduce_missing(pattern: str, max_seeds: int, jobs: int) -> int:
    """Run the recipes of a pattern with each seed that has no result for the current settings and behaviour.

    A recipe without any result runs once; its time then decides how many seeds it owes.
    """
    tried: set[Measurement] = set()
    exit_code = 0
    while todo := [owed for owed in missing(pattern, max_seeds) if owed not in tried]:
        tried |= set(todo)
        exit_code = max(exit_code, measure_all(todo, jobs))
    _regenerate()
    return exit_code


def print_missing(pattern: str, max_seeds: int) -> int:
    """Print what is missing, with the time that earlier runs took."""
    total, owed = 0.0, missing(pattern, max_seeds)
    seeds_of = {path: [seed for other, seed in owed if other == path] for path, _ in owed}
    for path, seeds in seeds_of.items():
        seconds = expected_seconds(path)
        total += len(seeds) * (seconds or 0.0)
        estimate = "time unknown" if seconds is None else f"{len(seeds) * seconds:.0f} s"
        print(f"{path.stem}: seeds {','.join(map(str, seeds))}, {estimate}")
    print(f"{len(owed)} runs of {len(seeds_of)} recipes, {total / 3600:.1f} hours one at a time")
    return 0


def missing(pattern: str, max_seeds: int) -> list[Measurement]:
    """Return the recipes and seeds without a result; without a GPU, recipes that need one are left out.

    Raises:
        UsageError: if no recipe matches the pattern. The message names the most similar one.
    """
    owed, paths = [], recipe_paths()
    names = fnmatch.filter(paths, pattern) or [find_recipe(pattern).stem]
    for path in (paths[name] for name in names):
        if torch.cuda.is_available() or not wants_gpu(path):
            done, num = measured_seeds(path), min(max_seeds, num_seeds_owed(path))
            owed += [Measurement(path, seed) for seed in range(num) if seed not in done]
    return owed


def wants_gpu(recipe: Path) -> bool:
    """Return whether the recipe sets the accelerator to "gpu"."""
    return bool(read_settings(recipe)["trainer"].get("accelerator") == "gpu")


def check(recipe: str, seeds: list[int]) -> int:
    """Measure again and compare with the recorded score; write nothing. Returns 1 if a seed differs from it.

    A seed agrees if it lies within three standard deviations of the mean. If the score has one seed, it agrees to two digits.

    Raises:
        ZooError: if the recipe has no score.
    """
    check_checkout()
    path = find_recipe(recipe)
    results = current_results(path).results
    if not results:
        raise ZooError(f"{recipe} has no score to compare with: measure it with zoo reproduce {recipe}")
    model_class: Any = import_class(read_settings(path)["model"]["class_path"])
    metric = headline_of(list(results[0]["metrics"]), model_class.headline)
    assert metric is not None  # `zoo generate` refuses results without it
    recorded = [result["metrics"][metric] for result in results]
    mean = statistics.mean(recorded)
    tolerance = 3 * statistics.stdev(recorded) if len(recorded) > 1 else 0.05 * abs(mean)
    agrees = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            run_zoo(fit_arguments(Measurement(path, seed), Path(folder) / "run"))
            value = read_run(Path(folder) / "run")["results"][metric]
        agrees.append(abs(value - mean) <= tolerance + 1e-4 * abs(mean))
        verdict = "agrees" if agrees[-1] else "differs"
        print(f"{path.stem}, seed {seed}: {metric} {value:.4f}, recorded {mean:.4f} (n={len(results)}): {verdict}", flush=True)
    return 0 if all(agrees) else 1


def behave(recipe: str | None) -> int:
    """Record the current behaviour of a recipe, or of every recipe with a score."""
    check_checkout()
    scored = [path for path in recipe_paths().values() if current_results(path).results]
    for path in scored if recipe is None else [find_recipe(recipe)]:
        note_behaviour(path)
    _regenerate()
    return 0


def _regenerate() -> None:
    from zoo.cli.generate import generate

    generate(check_only=False)
