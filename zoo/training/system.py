"""Base class of every system: the contract of a step, and the logging of its values."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from lightning import Callback, LightningModule
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric, MetricCollection

from zoo.errors import ZooError
from zoo.public import public_name
from zoo.training.counting import total_steps
from zoo.training.epoch_means import EpochMeans
from zoo.training.facts import data_class, describe_data
from zoo.training.last_batch import check_last_batch
from zoo.training.memory import use_fast_layout
from zoo.training.optim import Optim, check_optim, configure
from zoo.training.plateau import PlateauStep
from zoo.training.reporting import log_means

T = TypeVar("T")
Outputs = dict[str, Tensor]
Metrics = dict[str, Metric | MetricCollection]


class Batch(Protocol):
    """The fields that a system reads from a batch. Any NamedTuple with these fields works."""

    @property
    def x(self) -> Tensor: ...
    @property
    def y(self) -> Tensor: ...
    @property
    def position(self) -> Tensor: ...


def require(name: str, value: T | None) -> T:
    """Return the value of an argument that the data determines.

    Raises:
        ZooError: if it is None, because neither the data nor the caller gave it.
    """
    if value is None:
        raise ZooError(f"{name} is not known, because the data does not state it: set model.{name}")
    return value


class System(LightningModule):
    """Base class of every system. A subclass sets `self.net` and implements `step`.

    `step(batch, progress)` is pure: it returns the loss and a dict of outputs, and changes no state. Outputs that are 0-d are
    logged under their names. The outputs "preds" and "target", if both are there, go to the metrics and the predictions table.

    Args:
        lr: peak learning rate.
        optim: all other settings of the optimizer.
        metrics: metrics computed from "preds" and "target", by name.

    Raises:
        ZooError: if `lr` or `optim` is invalid.
    """

    # selects the best checkpoint; None: use the last
    monitor: ClassVar[tuple[str, Literal["min", "max"]] | None] = ("val/loss", "min")
    headline: ClassVar[str | tuple[str, ...]] = "test/loss"  # the score in tables; of several patterns, the first with a score
    losses: ClassVar[tuple[str, ...]] = ("loss",)  # the losses in pictures of a run, by their names after "train/" and "val/"
    net: nn.Module

    def __init__(self, lr: float, optim: Optim | None, metrics: Metrics | None = None) -> None:
        super().__init__()
        if not lr > 0:
            raise ZooError(f"lr must be positive, got {lr}")
        self.lr, self.optim = lr, check_optim(optim)
        stages, collection = ("train", "val", "test"), MetricCollection(metrics or {})
        self.metrics = nn.ModuleDict({f"{stage}_metrics": collection.clone(prefix=f"{stage}/") for stage in stages})
        self.means = EpochMeans(self.metrics_of("train"))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predict for a batch of inputs. `zoo export` exports this method."""
        return self.net(*inputs)

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """Return the fields of a batch that `forward` takes."""
        return (batch.x,)

    def step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Compute loss and outputs for a batch. `progress` is 0-d and grows from 0 to 1 over the training."""
        raise NotImplementedError(f"{type(self).__name__} has to define step(batch, progress) -> (loss, outputs)")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, outputs = self.step(batch, self.progress())
        log_training(self, loss, outputs, len(batch.x), step=self.global_step + 1)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self.evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self.evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"preds": self(*self.inputs(batch)), "position": batch.position}

    def reports(self, folder: Path) -> list[Callback]:
        """Return the reports of this system, which write pictures, tables and scores into the run directory `folder`."""
        return []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return configure(self, self.lr, self.optim, total_steps(self.trainer), monitor="val/loss")

    def configure_callbacks(self) -> list[Callback]:
        own = [self.means, *([PlateauStep()] if self.optim.get("schedule") == "plateau" else [])]
        return [] if self.means in self.trainer.callbacks else own  # type: ignore[attr-defined]  # an earlier stage added them

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):  # PlateauStep has stepped it already
            scheduler.step()

    def setup(self, stage: str) -> None:
        use_fast_layout(self)

    def on_fit_start(self) -> None:
        self._steps = total_steps(self.trainer)

    def on_train_start(self) -> None:
        check_last_batch(self, self.trainer.train_dataloader)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.check_batch(batch)

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == 0:
            self.check_batch(batch)

    on_test_batch_start = on_validation_batch_start

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["class_path"] = public_name(type(self))
        checkpoint["data"], checkpoint["data_class"] = describe_data(self._trainer), data_class(self._trainer)

    def check_batch(self, batch: Any) -> None:
        """Raise if `step` cannot handle a batch. Called once per epoch only, because a check may wait for the device."""

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return random inputs of the right shapes, for exports and for counting. They are the same at every call."""
        shape = tuple(self.hparams["input_shape"])
        return (torch.rand(batch_size, *shape, generator=torch.Generator().manual_seed(0)),)

    def fraction(self) -> float:
        """Return the fraction of the fit that is done, in [0, 1]."""
        return min(1.0, self.global_step / self._steps)

    def progress(self) -> Tensor:
        """Return `fraction()` as a 0-d tensor on the system's device."""
        return torch.full((), self.fraction(), device=self.device)

    def evaluate(self, stage: Literal["val", "test"], batch: Any) -> Outputs:
        """Run `step` on a batch, and log loss, 0-d outputs and metrics, averaged over the epoch."""
        loss, outputs = self.step(batch, torch.ones((), device=self.device))
        log_means(self, {f"{stage}/loss": loss, **scalars(stage, outputs)}, len(batch.x))
        if "preds" in outputs and len(metrics := self.metrics_of(stage)):
            metrics.update(*_metric_inputs(outputs))
            self.log_dict(metrics, on_epoch=True, batch_size=len(batch.x))
        return outputs

    def metrics_of(self, stage: str) -> MetricCollection:
        """Return the metrics of the stage "train", "val" or "test"."""
        return self.metrics[f"{stage}_metrics"]  # type: ignore[return-value]


def log_training(system: System, loss: Tensor, outputs: Outputs, num: int, step: int) -> None:
    """Add loss, 0-d outputs and metrics of a training step on `num` samples or tokens to the means of the epoch.

    Logging takes as long as a step of a small network. So the values themselves, under names that end in _step, and the
    learning rate are logged only at the steps that loggers record. `step` counts from 1.
    """
    values = {name: value.detach() for name, value in {"train/loss": loss, **scalars("train", outputs)}.items()}
    system.means.add(values, num)
    if "target" in outputs and len(system.means.metrics):
        system.means.update_metrics(*_metric_inputs(outputs))
    if step % system.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
        system.log("train/lr", system.trainer.optimizers[-1].param_groups[0]["lr"])
        system.log_dict({f"{name}_step": value for name, value in values.items()})


def scalars(stage: str, outputs: Outputs) -> Outputs:
    """Return the 0-d tensors among a step's outputs, under the names by which they are logged."""
    return {f"{stage}/{name}": value for name, value in outputs.items() if value.ndim == 0}


def _metric_inputs(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Return contiguous predictions and targets. torchmetrics flattens them as views, which fails for channels-last images."""
    return outputs["preds"].contiguous(), outputs["target"].contiguous()
