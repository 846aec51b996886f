"""Measure recipes: train each run in its own process, resume interrupted runs, and append the results."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import torch

from zoo.cli.context import Request
from zoo.cli.fit import fit
from zoo.cli.names import ROOT
from zoo.cli.results import (
    BEHAVIOURS,
    Behaviour,
    Result,
    read_behaviours,
    results_path,
    same_behaviour,
    settings_checksum,
)
from zoo.cli.settings import read_settings
from zoo.errors import UsageError, ZooError
from zoo.training.checkpoint import latest_checkpoint
from zoo.training.files import write_text
from zoo.training.provenance import commit_of
from zoo.training.run_dir import RunDirectory, new_run_dir, read_run

_FEW_STEPS = (
    *("--seed_everything", "0", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1"),
    *("--trainer.callbacks+", "{class_path: zoo.reports.Behaviour}"),
)
_SMALL_BATCH = 8


class Measurement(NamedTuple):
    """One run to do: a recipe with a seed."""

    recipe: Path
    seed: int


class Note(NamedTuple):
    """Facts about a run in progress, kept in a file beside its directory until the result is recorded."""

    config: str  # checksum of the settings
    behaviour: Behaviour
    seconds: float  # training time of the interrupted sessions
    started: float  # start of the current session
    commit: str = "unknown"  # at the start of the first session; older notes lack it

    def write(self, folder: Path) -> None:
        """Write the note of a run."""
        write_text(self.path(folder), json.dumps(self._asdict()) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Note":
        """Read the note of a run."""
        return cls(**json.loads(cls.path(folder).read_text(encoding="utf-8")))

    @staticmethod
    def path(folder: Path) -> Path:
        """Return the file of a run's note."""
        return folder.with_name(f"{folder.name}.json")


def measure_all(todo: list[Measurement], jobs: int) -> int:
    """Do all runs, `jobs` at a time. Return 1 if a run failed; the results of the others are kept.

    Raises:
        UsageError: if the working directory is in another checkout than the recipes.
    """
    check_checkout()
    behaviours: dict[Path, Behaviour] = {}
    failed = []
    for recipe in dict.fromkeys(owed.recipe for owed in todo):
        try:
            behaviours[recipe] = note_behaviour(recipe)
        except ZooError as error:
            failed.append(f"{recipe.stem}: {error}")
    with ThreadPoolExecutor(jobs) as pool:
        futures = {
            pool.submit(_measure, owed, behaviours[owed.recipe], jobs > 1): owed for owed in todo if owed.recipe in behaviours
        }
        try:
            for future, owed in futures.items():
                try:
                    future.result()
                except ZooError as error:
                    failed.append(f"{owed.recipe.stem}, seed {owed.seed}: {error}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def few_steps(recipe: Path) -> list[str]:
    """Return overrides for measuring the behaviour of a recipe: three steps with small batches, in fp32 on the CPU."""
    small = read_settings(recipe)["data"]["init_args"]["batch_size"] > _SMALL_BATCH
    return [*_FEW_STEPS, *(["--data.batch_size", str(_SMALL_BATCH)] if small else [])]


def note_behaviour(recipe: Path) -> Behaviour:
    """Compute and record the current behaviour of a recipe. Scores of another behaviour are then marked as stale."""
    found = _behaviour(recipe)
    known = {**read_behaviours(), recipe.stem: found}
    lines = [f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
    write_text(BEHAVIOURS, "{\n" + ",\n".join(lines) + "\n}\n")
    return found


def _behaviour(recipe: Path) -> Behaviour:
    """Run a few steps on one thread, without tracking and tests, and return what they computed."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            run_dir = Path(folder) / "run"
            quick = ["--trainer.limit_test_batches", "0", "--trainer.logger", "false"]
            if fit(Request("fit", [recipe], [*few_steps(recipe), *quick], run_dir=run_dir)):
                raise KeyboardInterrupt  # `fit` has turned it into an exit code
            behaviour: Behaviour = json.loads((run_dir / "behaviour.json").read_text(encoding="utf-8"))
    finally:
        torch.set_num_threads(num_threads)
    return behaviour


def fit_arguments(owed: Measurement, folder: Path) -> list[str]:
    """Return the arguments of the run of a measurement."""
    return ["fit", "-c", owed.recipe.stem, "--seed_everything", str(owed.seed), "--run_dir", str(folder)]


def run_zoo(arguments: list[str], log: Path | None = None, one_thread: bool = False) -> None:
    """Run a `zoo` command of this checkout in its own process.

    Args:
        arguments: of the command.
        log: file for the output. None: print it.
        one_thread: use one thread instead of one per core.

    Raises:
        ZooError: if the command fails.
    """
    paths = [str(ROOT.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **({"OMP_NUM_THREADS": "1"} if one_thread else {})}
    command = [sys.executable, "-P", "-m", "zoo", *arguments]
    if log is None:
        code = subprocess.run(command, env=environment, check=False).returncode
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as file:
            code = subprocess.run(command, env=environment, check=False, stdout=file, stderr=subprocess.STDOUT).returncode
    if code != 0:
        said = (
            "" if log is None else ": " + " ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:])
        )
        raise ZooError(f"zoo {' '.join(arguments)} failed with exit code {code}{said}")


def check_checkout() -> None:
    """Raise if the command is run inside another checkout, which the user would expect to be measured.

    Raises:
        UsageError: if the working directory is in a checkout that this command does not belong to.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "recipes" / "__init__.py").is_file() and (folder / "recipes").resolve() != ROOT.resolve():
            raise UsageError(
                f"this command would measure {ROOT.parent}, but the working directory is in the checkout {folder}: "
                f"change the directory, or run PYTHONPATH={folder} python -m zoo reproduce"
            )


def _measure(owed: Measurement, behaviour: Behaviour, side_by_side: bool) -> None:
    """Train or resume one run, and append its result.

    Parallel runs use one thread each and write their output to a file beside their directory.
    """
    recipe, seed = owed
    config, commit = settings_checksum(recipe), commit_of(recipe)
    print(f"\n{recipe.stem}, seed {seed}, at {commit}", flush=True)
    if commit.endswith("+changes"):
        print("the code has uncommitted changes: commit first, so that others can reproduce the score", flush=True)
    folder = _interrupted(owed, config, behaviour)
    if folder is not None and "results" in read_run(folder):
        _record(owed, folder)
        return
    if folder is None:
        folder = new_run_dir(f"{recipe.stem}/seed{seed}", Path("runs") / "reproduce")
        Note(config, behaviour, 0.0, time.time(), commit).write(folder)  # now, because the code may change while it trains
        arguments = fit_arguments(owed, folder)
    else:
        print(f"continuing {folder}", flush=True)
        arguments = ["fit", "--resume", str(folder)]
        note = Note.read(folder)
        # A session may have ended before it wrote a checkpoint.
        trained = max(0.0, latest_checkpoint(folder).stat().st_mtime - note.started)
        note._replace(seconds=note.seconds + trained, started=time.time()).write(folder)
    log = folder.with_name(f"{folder.name}.log") if side_by_side else None
    run_zoo(arguments, log, one_thread=side_by_side)
    _record(owed, folder)


def _record(owed: Measurement, folder: Path) -> None:
    """Append the result of a finished run, and remove its note."""
    recipe, seed = owed
    note = Note.read(folder)
    record = read_run(folder)
    result = Result(
        recipe=recipe.stem,
        seed=seed,
        config=note.config,
        behaviour=note.behaviour,
        metrics={name: round(value, 6) for name, value in record["results"].items()},
        seconds=round(record["seconds"] + note.seconds, 1),
        epochs=record["epochs"],
        num_params=record["num_params"],
        precision=record["precision"],
        hardware=record["hardware"],
        versions=record["versions"],
        commit=note.commit,
        date=time.strftime("%Y-%m-%d"),
        command=f"zoo fit -c {recipe.stem} --seed_everything {seed}",
    )
    with results_path(recipe).open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    Note.path(folder).unlink()
    print(f"{recipe.stem}, seed {seed}: took {result['seconds']:.0f} s", flush=True)


def _interrupted(owed: Measurement, config: str, behaviour: Behaviour) -> Path | None:
    """Return the directory of an interrupted run of the same measurement. Runs without a checkpoint are removed.

    Raises:
        ZooError: if another process trains such a run at this moment.
    """
    for path in sorted((Path("runs") / "reproduce" / owed.recipe.stem / f"seed{owed.seed}").glob("*.json")):
        folder = path.with_suffix("")
        note = Note.read(folder)
        if note.config != config or not same_behaviour(note.behaviour, behaviour):
            continue
        if any((folder / "checkpoints").glob("*.ckpt")):
            return folder
        with RunDirectory(folder).held():
            shutil.rmtree(folder, ignore_errors=True)
        path.unlink()
    return None
