"""`zoo reproduce`: measure and record the score of a recipe."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch

from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.results import Result, current_results, results_path, settings_checksum
from zoo.cli.settings import read_settings
from zoo.training.provenance import commit_of
from zoo.training.run_dir import read_run


def reproduce(recipe: str, num_seeds: int) -> int:
    """Run a recipe once per seed, each in a separate process, and append one line per run to its results."""
    path = find_recipe(recipe)
    for seed in range(num_seeds):
        _measure(path, seed)
    _regenerate()
    return 0


def reproduce_missing(num_seeds: int) -> int:
    """Run all recipes and seeds that have no result for the current settings."""
    for path, seed in missing(num_seeds):
        _measure(path, seed)
    _regenerate()
    return 0


def missing(num_seeds: int) -> list[tuple[Path, int]]:
    """Return the recipes and seeds without a result; without a GPU, recipes that need one are left out."""
    here = [path for path in recipe_paths().values() if torch.cuda.is_available() or not wants_gpu(path)]
    done = {path: {result["seed"] for result in current_results(path)} for path in here}
    return [(path, seed) for path in here for seed in range(min(num_seeds, most_seeds(path))) if seed not in done[path]]


def wants_gpu(recipe: Path) -> bool:
    """Return whether the recipe sets the accelerator to "gpu"."""
    return bool(read_settings(recipe)["trainer"].get("accelerator") == "gpu")


def most_seeds(recipe: Path) -> int:
    """Return the limit on seeds in the header of an expensive recipe: `# Seeds: 1, ...`."""
    stated = re.search(r"^# Seeds: (\d+)", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    return int(stated[1]) if stated else sys.maxsize


def _measure(recipe: Path, seed: int) -> None:
    folder = Path("runs") / "reproduce" / recipe.stem / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-seed{seed}"
    arguments = ["fit", "-c", recipe.stem, "--seed_everything", str(seed)]
    commit = commit_of(recipe)  # Before the run, because the code may change while it trains.
    print(f"\n{recipe.stem}, seed {seed}, at {commit}", flush=True)
    if commit.endswith("+changes"):
        print("the code has uncommitted changes: commit first, so that others can reproduce the score", flush=True)
    subprocess.run([sys.executable, "-m", "zoo", *arguments, "--run_dir", str(folder)], check=True)
    record = read_run(folder)
    result = Result(
        recipe=recipe.stem,
        seed=seed,
        config=settings_checksum(recipe),
        metrics={name: round(value, 6) for name, value in record["results"].items()},
        seconds=record["seconds"],
        epochs=record["epochs"],
        num_params=record["num_params"],
        precision=record["precision"],
        hardware=record["hardware"],
        versions=record["versions"],
        commit=commit,
        date=time.strftime("%Y-%m-%d"),
        command="zoo " + " ".join(arguments),
    )
    with results_path(recipe).open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def _regenerate() -> None:
    from zoo.cli.generate import generate

    generate(check_only=False)
