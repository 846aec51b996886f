"""A command at work: its run directory, its tracking and its exit code."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.utilities import rank_zero_only

from zoo.cli.configuration import Configuration
from zoo.cli.names import overlay_paths, recipe_paths
from zoo.cli.request import Request
from zoo.errors import UsageError
from zoo.training.boundary import running
from zoo.training.counting import count_parameters
from zoo.training.files import write_text
from zoo.training.reporting import writes
from zoo.training.run import Run
from zoo.training.run_dir import RunDirectory, is_first_process


class Context:
    """One command on a configuration whose data and model are built.

    It opens the run directory and builds the trainer. `execute` does the work in between, ends the tracking, and turns
    the outcome into an exit code. A run that does not come to start leaves no directory behind.

    Args:
        request: what the command line asks for.
        configuration: data and model; the trainer is built here.
        recipe: the name that the run is grouped under.
        session: the name of the logs: fit, resume, test, ...
        folder: the run directory of a run that goes on; by default `--run_dir`, or a new one.
    """

    def __init__(
        self, request: Request, configuration: Configuration, recipe: str, session: str, folder: Path | None = None
    ) -> None:
        self._request, self.configuration = request, configuration
        self._recipe, self._session, self._folder = recipe, session, folder
        self._started = False

    def execute(self, work: Callable[["Context"], None]) -> int:
        """Open the directory, build the trainer, do the work, and close; returns the exit code."""
        directory = _open_directory(self._folder or self._request.run_dir, self._recipe)
        code, before = 1, os.environ.get("ZOO_RUN_DIR")
        try:
            os.environ["ZOO_RUN_DIR"] = str(directory.path)  # the processes that Lightning starts on this machine read it
            session = _numbered(directory.path, self._session)
            self.run = Run(directory.path, self._recipe, session, self.configuration.config.get("wandb"))
            self.configuration.build_trainer(self.run)
            self.trainer.callbacks.append(LambdaCallback(on_train_batch_end=self._note_start))  # type: ignore[attr-defined]  # set late
            with running(self.trainer):
                work(self)
            code = 0
        except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into an exit
            code = 130
            resumable = self._started and self._request.command == "fit"
            say(f"stopped: go on with zoo fit --resume {directory.path}" if resumable else "stopped")
        finally:
            wandb.finish(exit_code=min(code, 1))
            if before is None:
                os.environ.pop("ZOO_RUN_DIR", None)
            if code != 0 and not self._started and is_first_process():
                directory.discard()
        return code

    @property
    def trainer(self) -> Trainer:
        return self.configuration.trainer

    @property
    def model(self) -> LightningModule:
        return self.configuration.model

    def note_command(self) -> None:
        """Add the command to run.json, as it can be typed again."""
        commands = [*self.run.facts().get("commands", []), _command(self._request)]
        self.run.note(recipe=self._recipe, commands=commands)

    def describe(self) -> None:
        """Print in a line what is about to be trained, and where the run directory is."""
        model, data = type(self.model).__name__, type(self.configuration.datamodule).__name__
        num_params = count_parameters(self.model)
        say(f"{model} with {num_params:,} parameters on {data}; everything goes to {self.run.folder}")

    def save_config(self, *_: Any) -> None:
        """Write config.yaml; can be called as a callback too."""
        if writes(self.trainer):
            write_text(self.run.folder / "config.yaml", self.configuration.text())

    def save_config_when_training_starts(self) -> None:
        """Write config.yaml only then: what the checkpoint or the data refuse leaves the run's settings as they are."""
        self.trainer.callbacks.append(LambdaCallback(on_train_start=self.save_config))  # type: ignore[attr-defined]  # set late

    def start_tracking(self) -> None:
        """Start the W&B run, with the whole configuration."""
        self.run.start_tracking(self.trainer, self.model, self.configuration.plain())

    def _note_start(self, *_: Any) -> None:
        self._started = True


@rank_zero_only
def say(line: str) -> None:
    """Print a line, in one process of all."""
    print(line, flush=True)


def _open_directory(wanted: Path | None, recipe: str) -> RunDirectory:
    """The directory of this run; the processes that Lightning starts on this machine get it from the first one."""
    if wanted is not None:
        return RunDirectory(wanted)
    if "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        if "ZOO_RUN_DIR" not in os.environ:
            raise UsageError("under torchrun or SLURM every process must know the directory: give --run_dir")
        return RunDirectory(Path(os.environ["ZOO_RUN_DIR"]))
    return RunDirectory.new(recipe)


def _numbered(folder: Path, name: str) -> str:
    """The name under which this command logs in a run's directory: test, test-2, ..."""
    number = 1 + len([path for path in (folder / "logs").glob(f"{name}*") if path.is_dir()])
    return name if number == 1 else f"{name}-{number}"


def _command(request: Request) -> str:
    """The command line as it can be typed again."""
    known = {path: name for name, path in {**recipe_paths(), **overlay_paths()}.items()}
    words = ["zoo", request.command, *(["--resume", str(request.resume)] if request.resume else [])]
    for path in request.configs:
        words += ["-c", str(known.get(path, path))]
    return shlex.join([*words, *request.overrides])
