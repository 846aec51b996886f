"""Learning curves of a run: losses, the headline metric and the learning rate, over the steps of training."""

import csv
import fnmatch
import re
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.training.reporting import log_picture, writes
from zoo.training.system import System

History = dict[str, dict[int, float]]  # by name, the values at numbers of finished steps
_FEW = 30  # points that are marked by dots
_WIDE = 20.0  # ratio of the largest to the smallest loss from which on the axis is logarithmic
_DASHED = {"train": "-", "val": "--"}


class Curves(Callback):
    """Draws `pictures/curves.png` from the run's own log, `logs/*/metrics.csv`, and sends it to W&B.

    Training values are means over an epoch and stand at its last step. Validation values stand at the step of the validation.
    The learning rate is that of single steps. The curves of a resumed run begin with those of its earlier sessions.

    The picture is drawn after 1, 2, 4, 8, ... epochs or validations of a session and when training ends. Without a CSV log
    (`trainer.logger` false) there is no picture.

    Args:
        run_dir: the run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._num_offers = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._num_offers = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._offer(trainer, pl_module)  # the means of the epoch before are in the log by now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit" and not trainer.is_last_batch:
            self._offer(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):
            self._draw(trainer, pl_module)

    def _offer(self, trainer: Trainer, system: LightningModule) -> None:
        if self._num_offers.bit_count() == 1:  # a power of two
            self._draw(trainer, system)
        self._num_offers += 1

    def _draw(self, trainer: Trainer, system: LightningModule) -> None:
        if not writes(trainer):
            return
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                logger.save()  # it writes every 100 values otherwise
        history = read_history(self.run_dir / "logs")
        panels = choose_panels(history, system)
        if panels:
            path = self.run_dir / "pictures" / "curves.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            curves_figure(history, panels).savefig(path, dpi=120)
            log_picture(trainer, "train/curves", path)


def read_history(logs: Path) -> History:
    """Read the training and validation values of all sessions of a run, from `logs`/fit*/metrics.csv and resume*/metrics.csv.

    A later session replaces the values that an earlier one has logged under the same name from the later one's first step on.
    """
    history: History = {}
    for path in sorted((*logs.glob("fit*/metrics.csv"), *logs.glob("resume*/metrics.csv")), key=_session):
        session: History = {}
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name.startswith(("train/", "val/")):
                        session.setdefault(name, {})[int(row["step"]) + 1] = float(value)
        for name, points in session.items():
            earlier = history.get(name, {})
            history[name] = {step: earlier[step] for step in earlier if step < min(points)} | points
    return history


def _session(path: Path) -> tuple[bool, int]:
    """Return a key that sorts sessions by time: fit, fit-2, resume, resume-2, ..."""
    name = path.parent.name
    number = re.search(r"-(\d+)$", name)
    return name.startswith("resume"), int(number[1]) if number else 1


def choose_panels(history: History, system: LightningModule) -> dict[str, list[str]]:
    """Choose what to draw: the names of curves by the titles of panels. Only names in the history are chosen."""
    losses, headline = (system.losses, system.headline) if isinstance(system, System) else (("loss",), ())
    patterns = (headline,) if isinstance(headline, str) else headline

    def having(*endings: str) -> list[str]:
        return [f"{split}/{name}" for name in endings for split in _DASHED if f"{split}/{name}" in history]

    panels = {"loss": having(*losses) or having("loss")}
    for pattern in patterns:
        ending = pattern.partition("/")[2]
        names = {name.partition("/")[2] for name in history if fnmatch.fnmatch(name.partition("/")[2], ending)}
        if names - {"loss"}:
            first = min(names)
            panels[first] = having(first)
            break
    panels["learning rate"] = having("lr")
    if history.get("train/d_lr") != history.get("train/lr"):  # of a GAN's two players
        panels["learning rate"] += having("d_lr")
    return {title: names for title, names in panels.items() if names}


def curves_figure(history: History, panels: dict[str, list[str]]) -> Figure:
    """Draw panels side by side. Curves of training are solid, those of validation dashed."""
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (title, names) in zip(axes, panels.items(), strict=True):
        _draw_panel(place, title, {name: history[name] for name in names})
    return figure


def _draw_panel(axes: Axes, title: str, curves: History) -> None:
    endings = list(dict.fromkeys(name.partition("/")[2] for name in curves))
    for number, (name, points) in enumerate(curves.items()):
        split, _, ending = name.partition("/")
        colour = f"C{endings.index(ending) if len(endings) > 1 else number}"
        marker = "." if len(points) <= _FEW and title != "learning rate" else ""
        label = f"{split} {ending}" if len(endings) > 1 else split
        steps = sorted(points)
        axes.plot(
            steps, [points[step] for step in steps], _DASHED[split], color=colour, marker=marker, label=label, linewidth=1.3
        )
    values = [value for points in curves.values() for value in points.values()]
    if title == "loss" and min(values) > 0 and max(values) > _WIDE * min(values):
        axes.set_yscale("log")
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xlabel("training step")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    if title != "learning rate" or len(curves) > 1:
        axes.legend(fontsize=8)
