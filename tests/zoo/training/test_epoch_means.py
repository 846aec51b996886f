"""Training values are means over the samples of an epoch, and no step waits for the device."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics import MetricCollection

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.cli.main import main
from zoo.metrics.tasks import classification, regression
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import AtomicCheckpointIO
from zoo.training.epoch_means import EpochMeans
from zoo.training.system import Outputs

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


class Recorder(MLPClassifier):
    """Records the loss, the number of samples and the right predictions of each training step.

    Every other batch is cut to four samples, because batches of equal size do not show how they are weighted.
    """

    def __init__(self) -> None:
        super().__init__((4,), 3, hidden_dims=(8,), lr=0.1)
        self.steps: list[tuple[float, int, int]] = []

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        loss, outputs = super().step(batch, progress)
        if self.training:
            self.steps.append((loss.item(), len(batch.y), int((outputs["preds"].argmax(1) == batch.y).sum())))
        return loss, outputs

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(Batch(*(field[: 4 if batch_idx % 2 else None] for field in batch)), batch_idx)


def epochs(folder: Path, name: str) -> list[float]:
    """The values of a column of all sessions' CSV files."""
    rows = [row for path in sorted(folder.rglob("metrics.csv")) for row in csv.DictReader(path.read_text().splitlines())]
    return [float(row[name]) for row in rows if row.get(name)]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_means_weight_every_sample_equally(fit: Fit, blobs: Blobs, tmp_path: Path, accumulate: int) -> None:
    model, logger = Recorder(), CSVLogger(tmp_path, name="", version="")
    fit(model, blobs(), logger=logger, max_epochs=2, accumulate_grad_batches=accumulate, log_every_n_steps=1000)
    half = len(model.steps) // 2
    for epoch, steps in enumerate((model.steps[:half], model.steps[half:])):
        total = sum(num for _, num, _ in steps)
        loss, right = sum(loss * num for loss, num, _ in steps) / total, sum(right for *_, right in steps)
        assert epochs(tmp_path, "train/loss")[epoch] == pytest.approx(loss, rel=1e-5)
        assert epochs(tmp_path, "train/acc")[epoch] == pytest.approx(right / total, rel=1e-5)
    assert {num for _, num, _ in model.steps} == {10, 4}


def test_values_of_some_steps_only_are_averaged_over_those() -> None:
    means = EpochMeans(MetricCollection({}))
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, 2)
    means.add({"a": torch.tensor(4.0)}, 1)
    logged: dict[str, tuple[float, float]] = {}

    class Module:
        device = torch.device("cpu")

        def log_dict(self, values: dict[str, Tensor], batch_size: float, **_: Any) -> None:
            logged.update({name: (value.item(), batch_size) for name, value in values.items()})

    means.on_train_epoch_end(Trainer(logger=False), Module())  # type: ignore[arg-type]
    assert logged == {"a": (2.0, 3.0), "b": (4.0, 2.0)}


class NoWaiting(TorchDispatchMode):
    """Fails where a value is read from a tensor, for which a device would have to be waited for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_no_step_reads_a_value(task: str) -> None:
    means = EpochMeans(MetricCollection(classification(3) if task == "classification" else regression()))
    preds = torch.randn(5, 3)
    target = torch.arange(5) % 3 if task == "classification" else torch.randn(5, 3)
    means.update_metrics(preds, target)  # the first update checks the shapes of the states
    with NoWaiting():
        means.add({"loss": preds.mean(), "other": preds.sum()}, 5)
        means.update_metrics(preds, target)
    with NoWaiting(), pytest.raises(AssertionError):
        preds.sum().item()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_sums_are_in_full_precision(dtype: torch.dtype) -> None:
    means = EpochMeans(MetricCollection({}))
    for _ in range(4000):  # a sum in bfloat16 would stop at 256
        means.add({"loss": torch.ones((), dtype=dtype)}, 1)
    assert means._sums["loss",].item() == 4000


def test_a_run_resumed_within_an_epoch_logs_the_mean_of_the_whole_epoch(tmp_path: Path) -> None:
    fit = ["fit", "-c", "mlp_digits", "--trainer.max_epochs", "2", "--checkpoint_every_n_steps", "7", "--run_dir"]
    assert main([*fit, str(tmp_path / "run")]) == 0
    names = ("train/loss", "train/acc")
    whole = {name: epochs(tmp_path / "run" / "logs" / "fit", name) for name in names}
    assert main(["fit", "--resume", str(tmp_path / "run" / "checkpoints" / "step=14.ckpt")]) == 0
    for name in names:
        assert len(whole[name]) == 2
        assert epochs(tmp_path / "run" / "logs" / "resume", name) == pytest.approx(whole[name], rel=1e-6)


def test_the_state_of_metrics_with_lists_is_restored(fit: Fit, tmp_path: Path) -> None:
    one, other = (EpochMeans(MetricCollection(regression())) for _ in range(2))
    batches = [(torch.randn(6, 2), torch.randn(6, 2)) for _ in range(4)]
    for batch in batches[:2]:
        one.update_metrics(*batch)
    trainer, checkpoint = Trainer(logger=False, accelerator="cpu"), {}
    trainer.state.fn = "fit"  # type: ignore[assignment]
    model = Recorder()
    one.on_save_checkpoint(trainer, model, checkpoint)
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, **checkpoint}, tmp_path / "model.ckpt")
    other.on_load_checkpoint(trainer, model, AtomicCheckpointIO().load_checkpoint(tmp_path / "model.ckpt"))
    for batch in batches[2:]:
        one.update_metrics(*batch)
        other.update_metrics(*batch)
    assert one.metrics.compute() == other.metrics.compute()
