"""`zoo reproduce`: measure a recipe's score and write it down. Nobody types a score."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.results import Result, current_results, results_path, settings_checksum
from zoo.training.provenance import commit_of


def reproduce(recipe: str, num_seeds: int) -> int:
    """Run a recipe once per seed, each in its own process, and append a line per run."""
    path = find_recipe(recipe)
    for seed in range(num_seeds):
        _measure(path, seed)
    _regenerate()
    return 0


def reproduce_missing(num_seeds: int) -> int:
    """Run every recipe and seed that has no result for the recipe as it stands."""
    for path, seed in missing(num_seeds):
        _measure(path, seed)
    _regenerate()
    return 0


def missing(num_seeds: int) -> list[tuple[Path, int]]:
    """Recipes and seeds without a result; those that want a GPU only where there is one."""
    here = [path for path in recipe_paths().values() if torch.cuda.is_available() or not wants_gpu(path)]
    done = {path: {result["seed"] for result in current_results(path)} for path in here}
    return [(path, seed) for path in here for seed in range(min(num_seeds, most_seeds(path))) if seed not in done[path]]


def wants_gpu(recipe: Path) -> bool:
    """Whether the recipe is too large for a machine without a GPU, and says so."""
    accelerator: str | None = yaml.safe_load(recipe.read_text(encoding="utf-8"))["trainer"].get("accelerator")
    return accelerator == "gpu"


def most_seeds(recipe: Path) -> int:
    """How many seeds are worth their time, where the recipe's header says so: `# Seeds: 1, ...`."""
    stated = re.search(r"^# Seeds: (\d+)", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    return int(stated[1]) if stated else sys.maxsize


def _measure(recipe: Path, seed: int) -> None:
    folder = Path("runs") / "reproduce" / recipe.stem / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-seed{seed}"
    arguments = ["fit", "-c", recipe.stem, "--seed_everything", str(seed)]
    commit = commit_of(recipe)  # before the run: what is measured is the code as it is now
    print(f"\n{recipe.stem}, seed {seed}, at {commit}", flush=True)
    if commit.endswith("+changes"):
        print("the code differs from the commit: commit first for a score that others can reproduce", flush=True)
    subprocess.run([sys.executable, "-m", "zoo", *arguments, "--run_dir", str(folder)], check=True)
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    result = Result(
        recipe=recipe.stem,
        seed=seed,
        config=settings_checksum(recipe),
        metrics={name: round(value, 6) for name, value in facts["results"].items()},
        seconds=facts["seconds"],
        epochs=facts["epochs"],
        num_params=facts["num_params"],
        precision=facts["precision"],
        hardware=facts["hardware"],
        versions=facts["versions"],
        commit=commit,
        date=time.strftime("%Y-%m-%d"),
        command="zoo " + " ".join(arguments),
    )
    with results_path(recipe).open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def _regenerate() -> None:
    from zoo.cli.generate import generate

    generate(check_only=False)
