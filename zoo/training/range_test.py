"""Learning-rate range test (Smith, 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186)."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from zoo.errors import ZooError
from zoo.training.files import write_csv
from zoo.training.randomness import State, random_state, set_random_state
from zoo.training.system import System

_MEMORY = 0.9  # weight of the earlier losses in the average that decides when to stop
_DIVERGED = 4.0  # times the lowest average


class Curve(NamedTuple):
    """Losses of a range test, one for each optimizer step."""

    lr: list[float]
    loss: list[float]  # before the step of this learning rate
    smoothed: list[float]  # centred moving average, so that it does not lag behind

    @property
    def suggestion(self) -> float | None:
        """The lower one of `steepest` and `tenth_of_minimum`; None if the loss never falls."""
        return None if self.steepest is None else min(self.steepest, self.tenth_of_minimum)

    @property
    def steepest(self) -> float | None:
        """The learning rate at which the smoothed loss falls fastest per decade; None if it never falls."""
        end = int(np.argmin(self.smoothed)) + 1
        if end < 2:
            return None
        return self.lr[int(np.gradient(self.smoothed[:end], np.log10(self.lr[:end])).argmin())]

    @property
    def tenth_of_minimum(self) -> float:
        """A tenth of the learning rate at which the smoothed loss is lowest."""
        return self.lr[int(np.argmin(self.smoothed))] / 10


class RangeTest(Callback):
    """Trains with a learning rate that grows exponentially from step to step, until the loss diverges.

    Give it to a `Trainer` with enough epochs, and read `curve` after the fit. Learning rates of parameter groups keep their
    ratios; schedules are switched off. At the end, weights and random generators are as they were before.

    The test stops when the loss is not finite, or when its running average exceeds four times the lowest value so far.

    Args:
        lowest: learning rate of the first step.
        highest: learning rate of the last step.
        num_steps: number of optimizer steps.

    Raises:
        ZooError: if an argument is out of range, or the system is not trained by automatic optimization.
    """

    def __init__(self, lowest: float = 1e-6, highest: float = 10.0, num_steps: int = 100) -> None:
        if not 0 < lowest < highest < math.inf:
            raise ZooError(f"expected 0 < lowest < highest learning rate, got {lowest} and {highest}")
        if num_steps < 10:
            raise ZooError(f"a range test needs at least 10 steps, got {num_steps}")
        self.lr = np.geomspace(lowest, highest, num_steps).tolist()
        self.losses: list[float] = []
        self._parts: list[Tensor] = []  # losses of the batches whose gradients are accumulated for a step
        self._ratios: list[float] = []
        self._average, self._lowest = 0.0, math.inf
        self._before: tuple[dict[str, Tensor], State] | None = None

    @property
    def curve(self) -> Curve:
        """The learning rates that were tried, and their losses."""
        num = len(self.losses)
        reach = max(1, len(self.lr) // 20)
        smoothed = [float(np.mean(self.losses[max(0, i - reach) : i + reach + 1])) for i in range(num)]
        return Curve(self.lr[:num], self.losses, smoothed)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not isinstance(pl_module, System) or not pl_module.automatic_optimization:
            raise ZooError(
                f"a range test needs a model with one optimizer and an argument lr, which a {type(pl_module).__name__} is not"
            )
        weights = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self._before = weights, random_state()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, System)
        # The base rate of a group, whatever the schedule has made of it at the first step.
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self._ratios = [group.get("initial_lr", group["lr"]) / pl_module.lr for group in groups]
        trainer.strategy.lr_scheduler_configs = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        for group, ratio in zip(groups, self._ratios, strict=True):
            group["lr"] = self.lr[len(self.losses)] * ratio

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._parts.append(trainer.strategy.reduce(outputs["loss"], reduce_op="mean"))
        if trainer.global_step == len(self.losses):  # gradients are accumulated
            return
        loss = torch.stack(self._parts).mean().item()
        self._parts = []
        if not math.isfinite(loss):
            trainer.should_stop = True
            return
        self.losses.append(loss)
        num = len(self.losses)
        self._average = _MEMORY * self._average + (1 - _MEMORY) * loss
        average = self._average / (1 - _MEMORY**num)
        self._lowest = min(self._lowest, average)
        trainer.should_stop = num == len(self.lr) or average - self._lowest > (_DIVERGED - 1) * abs(self._lowest)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._before is not None:
            weights, state = self._before
            pl_module.load_state_dict(weights)
            set_random_state(state)
            self._before = None


def write_curve(curve: Curve, path: Path) -> None:
    """Write a CSV file with the columns lr, loss and smoothed."""
    write_csv(path, ["lr", "loss", "smoothed"], [list(row) for row in zip(*curve, strict=True)])


def curve_figure(curve: Curve, lr: float) -> Figure:
    """Draw the loss over the learning rate on a logarithmic axis, with the suggestions and the current `lr`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.lr, curve.loss, color="0.75", linewidth=0.8, label="loss")
    axes.plot(curve.lr, curve.smoothed, label="smoothed")
    marks = {"steepest descent": curve.steepest, "minimum / 10": curve.tenth_of_minimum, "model.lr": lr}
    for (name, value), style in zip(marks.items(), ("-", "--", ":"), strict=True):
        if value is not None:
            axes.axvline(value, color="black", linewidth=0.9, linestyle=style, label=f"{name}: {value:.2g}")
    low, high = min(curve.smoothed), max(curve.smoothed[0], float(np.median(curve.smoothed)))
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low) + 1e-12)
    axes.legend(fontsize=8)
    return figure
