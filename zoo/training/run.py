"""A run and its directory: the files in it, and the loggers and callbacks of every trainer."""

import json
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from zoo.training.best_checkpoint import BestCheckpoint
from zoo.training.checkpoint import AtomicCheckpointIO
from zoo.training.counting import count_parameters
from zoo.training.curves import Curves
from zoo.training.data_report import DataReport
from zoo.training.epoch_end import EpochEnd
from zoo.training.files import write_text
from zoo.training.memory import keep_memory
from zoo.training.non_finite import NonFiniteGuard
from zoo.training.predictions import Predictions
from zoo.training.progress import LineProgress
from zoo.training.provenance import hardware
from zoo.training.quiet import keep_quiet
from zoo.training.randomness import Randomness
from zoo.training.regular_checkpoint import RegularCheckpoint
from zoo.training.reporting import wandb_loggers
from zoo.training.run_dir import read_run
from zoo.training.schedules import ByStep
from zoo.training.system import System
from zoo.training.throughput import Throughput
from zoo.training.tracking import Wandb, describe_wandb, make_loggers, start_or_go_offline


class TrainerArguments(TypedDict):
    """The arguments of `Trainer` that a run provides."""

    default_root_dir: Path
    logger: list[Logger]
    callbacks: list[Callback]
    plugins: list[AtomicCheckpointIO]


class Run:
    """A run, whose directory holds config.yaml, checkpoints/, logs/, predictions/, pictures/, wandb/ and run.json.

    Args:
        folder: the run directory.
        recipe: name of the recipe, by which runs are grouped in W&B.
        session: what this process does in the run: fit, resume, test, ...
        wandb: settings for Weights & Biases.
    """

    def __init__(self, folder: Path, recipe: str, session: str = "fit", wandb: Wandb | None = None) -> None:
        self.folder, self.recipe, self.session, self.wandb = folder, recipe, session, wandb
        self._start = time.perf_counter()
        keep_quiet()
        keep_memory()

    @property
    def record_path(self) -> Path:
        return self.folder / "run.json"

    def record(self) -> dict[str, Any]:
        """Return the content of run.json: recipe, commands, W&B id, and the results of a finished run."""
        return read_run(self.folder)

    @rank_zero_only
    def note(self, **entries: Any) -> None:
        """Add entries to run.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.record_path, json.dumps({**self.record(), **entries}, indent=1) + "\n")

    def trainer_arguments(
        self, system: LightningModule, checkpoint_every_n_steps: int | None = None, own_callbacks: list[Callback] | None = None
    ) -> TrainerArguments:
        """Return loggers, callbacks and plugins for `Trainer(**...)`, to be combined with the recipe's trainer settings.

        The callbacks are those of every run and the reports of the system. A module that is not a `System` has no reports. A
        checkpoint callback or a progress bar among `own_callbacks` replaces the default one. A checkpoint callback without a
        folder writes into the run directory.
        """
        loggers = make_loggers(self.folder, self.recipe, self.session, self.wandb, resume_id=self.record().get("wandb_id"))
        callbacks: list[Callback] = [
            *(own_callbacks or []),
            DataReport(self.folder),
            Randomness(),
            EpochEnd(),
            Throughput(),
            NonFiniteGuard(),
            Predictions(self.folder),
            Curves(self.folder),
            *(system.reports(self.folder) if isinstance(system, System) else []),
        ]
        folder, monitor = self.folder / "checkpoints", _monitor(system)
        for callback in callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(folder)
        if monitor is not None and not any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            callbacks.append(BestCheckpoint(folder, *monitor))
        callbacks.append(RegularCheckpoint(folder, checkpoint_every_n_steps))
        if not any(isinstance(callback, ProgressBar) for callback in callbacks):
            callbacks.append(RichProgressBar() if sys.stdout.isatty() else LineProgress())
        return TrainerArguments(
            default_root_dir=self.folder, logger=loggers, callbacks=callbacks, plugins=[AtomicCheckpointIO()]
        )

    def start_tracking(self, trainer: Trainer, system: LightningModule, config: dict[str, Any]) -> None:
        """Send the configuration to W&B, and let its summary show the best value of the monitored metric, not the last."""
        for logger in wandb_loggers(trainer) if trainer.is_global_zero else []:
            start_or_go_offline(logger)
            logger.log_hyperparams(config)
            if (monitor := _monitor(system)) is not None:
                logger.experiment.define_metric(monitor[0], step_metric="trainer/global_step", summary=monitor[1])
            if not (logger.experiment.offline or logger.experiment.disabled):
                self.note(wandb_id=logger.version)
        self._start = time.perf_counter()  # W&B's start-up is not training time

    def finish(self, trainer: Trainer, system: LightningModule) -> dict[str, float]:
        """Test the best checkpoint, or else the last, write run.json, print where the files are, and return the scores."""
        earlier = self.record().get("seconds", 0.0)  # of the sessions before this one, if the run was resumed
        seconds = earlier + time.perf_counter() - self._start
        epochs, steps = trainer.current_epoch, trainer.global_step
        for stopping in trainer.early_stopping_callbacks:
            if isinstance(stopping, EarlyStopping) and stopping.stopped_epoch:
                reason = f"{stopping.monitor} had not improved for {stopping.patience} validations"
                rank_zero_only(print)(f"stopped early, after epoch {stopping.stopped_epoch + 1}: {reason}", flush=True)
        best = next((c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.best_model_path), None)
        data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it in a connector
        scores = trainer.test(system, datamodule=data, ckpt_path=best.best_model_path if best else None, verbose=False)
        results = {name: float(value) for name, value in scores[0].items()} if scores else {}
        if best and best.best_model_score is not None:
            results[str(best.monitor)] = float(best.best_model_score)
        self.note(
            results=results,
            seconds=round(seconds, 1),
            epochs=epochs,
            steps=steps,
            num_params=count_parameters(system),
            precision=str(trainer.precision),
            hardware=hardware(trainer),
            versions={"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        )
        if trainer.is_global_zero:
            self._print_summary(
                trainer, results, seconds, Path(best.best_model_path) if best else self.folder / "checkpoints/last.ckpt"
            )
        return results

    def _print_summary(self, trainer: Trainer, results: dict[str, float], seconds: float, tested: Path) -> None:
        shown = _relative(self.folder)
        lines = [(name, f"{value:.4f}") for name, value in sorted(results.items(), reverse=True)]
        lines += [("training took", f"{seconds:.0f} s"), ("run directory", shown)]
        lines += [(name, path) for name, path in self._written_paths()]
        if more := self._more_training(trainer):
            lines.append(("train on", f"zoo fit --resume {shlex.quote(shown)} {more}"))
        if tested.exists():
            lines.append(("export", f"zoo export {shlex.quote(_relative(tested))} --format pt2"))
        lines += [("W&B", line) for logger in wandb_loggers(trainer) for line in describe_wandb(logger)]
        width = max(len(name) for name, _ in lines)
        print("\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in lines), flush=True)

    def _more_training(self, trainer: Trainer) -> str | None:
        """Return the settings that double the training; None if it cannot be resumed, or has not reached its limits.

        A script's run has no config.yaml, a run without checkpoints has nothing to resume from, and a one-cycle schedule cannot
        be extended. Early stopping would stop the longer training as well.
        """
        if not all((self.folder / name).exists() for name in ("config.yaml", "checkpoints/last.ckpt")):
            return None
        schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
        if any(isinstance(schedule, ByStep) and not schedule.extends for schedule in schedules):
            return None
        done = {"max_epochs": trainer.current_epoch, "max_steps": trainer.global_step}
        limits = {"max_epochs": trainer.max_epochs or -1, "max_steps": trainer.max_steps}
        if not any(0 < limits[name] <= done[name] for name in limits):
            return None
        return " ".join(f"--trainer.{name} {2 * limit}" for name, limit in limits.items() if limit > 0)

    def _written_paths(self) -> list[tuple[str, str]]:
        names = {
            "configuration": "config.yaml",
            "checkpoints": "checkpoints",
            "metrics": f"logs/{self.session}/metrics.csv",
            "predictions": "predictions",
            "pictures": "pictures",
        }
        return [(name, _relative(self.folder / path)) for name, path in names.items() if (self.folder / path).exists()]


def _monitor(system: LightningModule) -> tuple[str, Literal["min", "max"]] | None:
    """Return the metric that selects the best checkpoint. A module that is not a `System` has the default one."""
    return system.monitor if isinstance(system, System) else System.monitor


def _relative(path: Path) -> str:
    """Return the path relative to the working directory if it lies there, else the absolute path."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
