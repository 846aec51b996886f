"""What a command of `zoo` consists of, and what several commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo.errors import UsageError

SETTINGS_EPILOG = """\
override any setting of the recipe by its dotted name:
  --model.lr 3e-4  --model.optim.schedule cosine  --data.batch_size 256  --trainer.max_epochs 5
  --trainer.strategy, --trainer.precision, ...: any argument of Lightning's Trainer
  --trainer.callbacks+ '{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss}}'
  --checkpoint_every_n_steps N: keep a checkpoint every N optimizer steps, in addition to the best and the last
  --ema 0.999: validate, save and test an exponential moving average of the weights
  --compile: compile the networks    --gradient_checkpointing: recompute activations in the backward pass, to save memory
  --wandb.project, .entity, .name, .group, .tags, .log_model: settings of the Weights & Biases run
show a recipe: zoo show RECIPE    copy it to edit it: zoo copy RECIPE mine.yaml
use classes from your own package: ZOO_IMPORTS=my_package zoo fit -c mine.yaml"""


class Command(NamedTuple):
    """One command of `zoo`."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[str]], int]  # takes the arguments and the settings; returns the exit code
    takes_settings: Callable[[argparse.Namespace], bool] = lambda args: False
    epilog: str | None = None


def always(args: argparse.Namespace) -> bool:
    """Take settings of the recipe with any arguments."""
    return True


def add_recipes(parser: argparse.ArgumentParser, description: str) -> None:
    """Add `-c`, which can be repeated."""
    parser.add_argument("-c", "--config", action="append", default=[], metavar="RECIPE", help=description)


def at_least(minimum: int, **values: int) -> None:
    """Refuse values of options that are below a minimum."""
    for name, value in values.items():
        if value < minimum:
            raise UsageError(f"--{name} must be at least {minimum}, got {value}")


def check_output(path: Path | None) -> None:
    """Refuse an output that is a folder or lies in a file. Missing folders are created when the output is written."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder: give the name of a file")
    if files := [parent for parent in path.parents if parent.is_file()]:
        raise UsageError(f"cannot write {path}: {files[0]} is a file, not a folder")


def own_config(run: Path | None) -> list[Path]:
    """Return the configuration of a run, given by its directory or by one of its checkpoints; empty if it has none."""
    if run is None:
        return []
    path = (run if run.is_dir() else run.parent.parent) / "config.yaml"
    return [path] if path.is_file() else []


def check_names_early(configs: list[Path], settings: list[str]) -> None:
    """Refuse unknown settings early, before torch and Lightning are imported."""
    from zoo.cli.settings import check_names, read_settings

    check_names([(path, read_settings(path)) for path in configs], settings)
