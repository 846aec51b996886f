"""Run a command: open its run directory, track it in W&B, and determine its exit code."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import wandb
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback

from zoo.augment.test_time import Views
from zoo.cli.configuration import Configuration, say
from zoo.cli.names import overlay_paths, recipe_paths
from zoo.errors import UsageError
from zoo.training.boundary import running
from zoo.training.counting import count_parameters
from zoo.training.files import write_text
from zoo.training.reporting import writes
from zoo.training.run import Run
from zoo.training.run_dir import RunDirectory, is_first_process


@dataclass(frozen=True)
class Request:
    """The command line of a command that builds a trainer."""

    command: Literal["fit", "validate", "test", "predict"]
    configs: list[Path]
    overrides: list[str] = field(default_factory=list)  # as typed: --model.lr 3e-4 ...
    run_dir: Path | None = None
    resume: Path | None = None  # a run directory, or one of its checkpoints
    ckpt_path: Path | None = None
    tta: Views | None = None  # test-time augmentation


class Context:
    """A command with its run, data, model and trainer; opened by `open_run`.

    Args:
        request: the command line.
        configuration: the configuration, with data and model built.
        run: the run that the command belongs to.
    """

    def __init__(self, request: Request, configuration: Configuration, run: Run) -> None:
        self.request, self.configuration, self.run = request, configuration, run
        self.has_trained = False
        self.exit_code = 1

    @property
    def trainer(self) -> Trainer:
        return self.configuration.trainer

    @property
    def model(self) -> LightningModule:
        return self.configuration.model

    @property
    def data(self) -> LightningDataModule:
        return self.configuration.datamodule

    def record_command(self) -> None:
        """Add the recipe and the command line to run.json."""
        commands = [*self.run.record().get("commands", []), _command_line(self.request)]
        self.run.note(recipe=self.run.recipe, commands=commands)

    def describe(self) -> None:
        """Print the model, its size, the data and the run directory in one line."""
        model, data = type(self.model).__name__, type(self.data).__name__
        say(f"{model} with {count_parameters(self.model):,} parameters on {data}; run directory: {self.run.folder}")

    def save_config(self, *_: Any) -> None:
        """Write config.yaml. The arguments of a callback are ignored."""
        if writes(self.trainer):
            write_text(self.run.folder / "config.yaml", self.configuration.text())

    def save_config_when_training_starts(self) -> None:
        """Write config.yaml at the start of training, so that a refused resume leaves the old settings unchanged."""
        self.add_callback(LambdaCallback(on_train_start=self.save_config))

    def add_callback(self, callback: Callback) -> None:
        """Add a callback to the trainer."""
        self.trainer.callbacks.append(callback)  # type: ignore[attr-defined]  # Lightning sets the list in a connector

    def start_tracking(self) -> None:
        """Start the W&B run and log the whole configuration."""
        tta = {} if self.request.tta is None else {"tta": self.request.tta}
        self.run.start_tracking(self.trainer, self.model, {**self.configuration.plain(), **tta})

    def note_training(self, *_: Any) -> None:
        """Note that a batch was trained, so that an interrupted run can be resumed."""
        self.has_trained = True


@contextmanager
def open_run(
    request: Request, configuration: Configuration, recipe: str, session: str, directory: RunDirectory
) -> Iterator[Context]:
    """Build the trainer for a run; on exit, end the tracking and set the exit code.

    If the command fails before training starts, the directory is removed again. Ctrl-C is handled here.

    Args:
        request: the command line.
        configuration: the configuration, with data and model built.
        recipe: the name of the recipe, which groups runs.
        session: the name of the logs: fit, resume, test, ...
        directory: the run directory.
    """
    run = Run(directory.path, recipe, _numbered(directory.path, session), configuration.config.get("wandb"))
    context = Context(request, configuration, run)
    before = os.environ.get("ZOO_RUN_DIR")
    try:
        # Processes that Lightning starts on this machine read the variable.
        os.environ["ZOO_RUN_DIR"] = str(directory.path)
        configuration.build_trainer(run)
        context.add_callback(LambdaCallback(on_train_batch_end=context.note_training))
        try:
            with running(context.trainer):
                yield context
            context.exit_code = 0
        except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C into SystemExit.
            context.exit_code = 130
            resumable = context.has_trained and request.command == "fit"
            say(f"stopped: go on with zoo fit --resume {directory.path}" if resumable else "stopped")
    finally:
        wandb.finish(exit_code=min(context.exit_code, 1))
        if before is None:
            os.environ.pop("ZOO_RUN_DIR", None)
        if context.exit_code != 0 and not context.has_trained and is_first_process():
            directory.discard()


def choose_directory(wanted: Path | None, recipe: str) -> RunDirectory:
    """Open the directory that was asked for, or a new one.

    Processes that Lightning starts on this machine use the directory of the first process.
    """
    if wanted is not None:
        return RunDirectory(wanted)
    if "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        if "ZOO_RUN_DIR" not in os.environ:
            raise UsageError("under torchrun or SLURM all processes need the same run directory: give --run_dir")
        return RunDirectory(Path(os.environ["ZOO_RUN_DIR"]))
    return RunDirectory.new(recipe)


def _numbered(folder: Path, name: str) -> str:
    """Choose a name for the logs of this command by creating their folder: test, test-2, ...

    Only the first process of a distributed run writes logs.
    """
    numbered, number = name, 1
    while is_first_process():
        try:
            (folder / "logs" / numbered).mkdir(parents=True)
        except FileExistsError:
            number += 1
            numbered = f"{name}-{number}"
        else:
            break
    return numbered


def _command_line(request: Request) -> str:
    """Return the command line so that it can be typed again."""
    names = {path: name for name, path in {**recipe_paths(), **overlay_paths()}.items()}
    words = ["zoo", request.command, *(["--resume", str(request.resume)] if request.resume else [])]
    for path in request.configs:
        words += ["-c", str(names.get(path, path))]
    return shlex.join([*words, *request.overrides])
