"""What every system shares: one pure step, logged; metrics; an optimizer; the check of a first batch."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from lightning import Callback, LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric, MetricCollection

from zoo.errors import ZooError
from zoo.nn.average import Average
from zoo.public import public_name
from zoo.training.optim import Optim, check, configure
from zoo.training.plateau import PlateauStep

T = TypeVar("T")


class Batch(Protocol):
    """What a system reads of a batch; any NamedTuple with these fields will do."""

    @property
    def x(self) -> Tensor: ...
    @property
    def y(self) -> Tensor: ...
    @property
    def position(self) -> Tensor: ...


Outputs = dict[str, Tensor]
_FACTS_OF_DATA = ("class_names", "mean", "std", "crop", "tokenizer_json", "max_length")  # what new inputs have to be given
Metrics = dict[str, Metric | MetricCollection]


def require(name: str, value: T | None) -> T:
    """The value of an argument that the data determines.

    Raises:
        ZooError: if neither the data nor the caller gave it.
    """
    if value is None:
        raise ZooError(f"{name} is not known: the data does not state it, so give it by hand (model.{name})")
    return value


def count_parameters(system: nn.Module) -> int:
    """Numbers that a system learns; an average that it keeps of them is not counted again."""
    averages = {id(p) for module in system.modules() if isinstance(module, Average) for p in module.parameters()}
    return sum(parameter.numel() for parameter in system.parameters() if id(parameter) not in averages)


class System(LightningModule):
    """Base of every system: a subclass sets `self.net`, and says in `step` what it learns.

    `step(batch, progress)` returns the loss and a dict. 0-d tensors in it are logged by their names; "preds" and
    "target", where present, feed the metrics and the predictions table.

    Args:
        lr: the optimizer's peak learning rate.
        optim: everything else about the optimizer.
        metrics: what to report of "preds" and "target", by name.
    """

    monitor: ClassVar[tuple[str, Literal["min", "max"]] | None] = ("val/loss", "min")  # chooses a checkpoint; None: the last
    headline: ClassVar[str | tuple[str, ...]] = (
        "test/loss"  # the score that tables show; of several (with *) the first there is
    )
    net: nn.Module

    def __init__(self, lr: float, optim: Optim | None, metrics: Metrics | None = None) -> None:
        super().__init__()
        if not lr > 0:
            raise ZooError(f"lr must be positive, got {lr}")
        self.lr, self.optim = lr, check(optim)
        self.metrics = nn.ModuleDict(
            {
                f"{stage}_metrics": MetricCollection(metrics or {}).clone(prefix=f"{stage}/")
                for stage in ("train", "val", "test")
            }
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """What a user wants of an input; what `zoo export` exports."""
        return self.net(*inputs)

    def inputs(self, batch: Any) -> tuple[Tensor, ...]:
        """What of a batch the network takes."""
        return (batch.x,)

    def step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Loss and outputs of a batch; `progress` is 0-d, from 0 at the start of training to 1 at its end."""
        raise NotImplementedError(f"{type(self).__name__} has to define step(batch, progress) -> (loss, outputs)")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, outputs = self.step(batch, self._progress())
        # a metric, and Lightning's own bookkeeping of a logged value, cost as much as a small MLP's step: only where it shows
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._log_training(loss, outputs)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Outputs:
        return self._evaluate("test", batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Outputs:
        return {"preds": self(*self.inputs(batch)), "position": batch.position}

    def setup(self, stage: str) -> None:
        # the layout convolutions are fastest in, on CPUs and on GPUs with tensor cores; it changes no value. FSDP
        # takes contiguous parameters only
        sharded = isinstance(self.trainer.strategy, ModelParallelStrategy)
        if not sharded and any(isinstance(module, nn.Conv2d) for module in self.modules()):
            self.to(memory_format=torch.channels_last)

    def reports(self, folder: Path) -> list[Callback]:
        """Return the reports of every run of this system: pictures, tables and scores in the run directory `folder`."""
        return []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return configure(self, self.lr, self.optim, total_steps=self.total_steps(), monitor="val/loss")

    def configure_callbacks(self) -> list[Callback]:
        return [PlateauStep()] if self.optim.get("schedule") == "plateau" else []

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):  # PlateauStep has its turn earlier
            scheduler.step()

    def check_batch(self, batch: Any) -> None:
        """Refuse a batch the step cannot take. Called on the first batch of a pass only, since it may synchronise."""

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        """Made-up inputs of the right shape, for exports and counts."""
        shape = tuple(self.hparams["input_shape"])
        return (torch.rand(batch_size, *shape, generator=torch.Generator().manual_seed(0)),)

    def total_steps(self) -> int:
        """Optimizer steps of the whole fit.

        Computed, because `trainer.estimated_stepping_batches` loads the data anew and with it drops a restored loader's place.
        """
        trainer = self.trainer
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            if trainer.max_steps < 0:
                raise ZooError("a schedule needs an end: set trainer.max_epochs or trainer.max_steps")
            return trainer.max_steps
        num_batches = getattr(getattr(trainer, "datamodule", None), "num_train_batches", None)
        if num_batches is None:  # a loader of the user's own, which has no place to lose
            return int(trainer.estimated_stepping_batches)
        limit = trainer.overfit_batches or trainer.limit_train_batches  # type: ignore[attr-defined]
        num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
        steps = max(1, trainer.max_epochs * -(-num_batches // trainer.accumulate_grad_batches))
        return steps if trainer.max_steps < 0 else min(steps, trainer.max_steps)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.check_batch(batch)

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == 0:
            self.check_batch(batch)

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == 0:
            self.check_batch(batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["class_path"] = public_name(type(self))
        data = getattr(self._trainer, "datamodule", None)
        facts = {name: getattr(data, name, None) for name in _FACTS_OF_DATA}
        checkpoint["data"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in facts.items() if value is not None
        }

    def on_fit_start(self) -> None:
        self._steps = self.total_steps()

    def fraction(self) -> float:
        """How much of the fit is done, in [0, 1]."""
        return min(1.0, self.global_step / self._steps)

    def _progress(self) -> Tensor:
        return torch.full((), self.fraction(), device=self.device)

    def _log_training(self, loss: Tensor, outputs: Outputs) -> None:
        loss, outputs = loss.detach(), {name: value.detach() for name, value in outputs.items()}
        optimizer = self.trainer.optimizers[-1]  # of two players the generator's
        self.log("train/lr", optimizer.param_groups[0]["lr"])
        self.log_dict({"train/loss": loss, **scalars("train", outputs)})
        if "preds" in outputs and len(metrics := self._metrics("train")):
            self.log_dict(metrics(*_compared(outputs)))
            metrics.reset()

    def _evaluate(self, stage: str, batch: Any) -> Outputs:
        loss, outputs = self.step(batch, torch.ones((), device=self.device))
        self.log_dict(
            {f"{stage}/loss": loss, **scalars(stage, outputs)}, batch_size=len(batch.x), on_epoch=True, sync_dist=True
        )
        if "preds" in outputs and len(metrics := self._metrics(stage)):
            metrics.update(*_compared(outputs))
            self.log_dict(metrics, on_epoch=True, batch_size=len(batch.x))
        return outputs

    def _metrics(self, stage: str) -> MetricCollection:
        return self.metrics[f"{stage}_metrics"]  # type: ignore[return-value]


def _compared(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """What metrics compare. torchmetrics' mean squared error takes flat views, and images in channels_last have none."""
    return outputs["preds"].contiguous(), outputs["target"].contiguous()


def scalars(stage: str, outputs: Outputs) -> Outputs:
    """The 0-d tensors of a step, as they are logged."""
    return {f"{stage}/{name}": value for name, value in outputs.items() if value.ndim == 0}
