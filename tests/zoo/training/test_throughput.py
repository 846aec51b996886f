"""Throughput counts the time of training only."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPClassifier
from zoo.training.system import Outputs
from zoo.training.throughput import Throughput

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]
NAP = 0.02


class Slow(MLPClassifier):
    """Sleeps in one of five training batches, and in each validation batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx % 5 == 0:
            time.sleep(NAP)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> Outputs:
        time.sleep(NAP)
        return super().validation_step(batch, batch_idx)


def measure(fit: Fit, blobs: Blobs, folder: Path, **arguments: Any) -> tuple[list[float], float]:
    """Train on ten batches of ten samples, and return the logged speeds and the duration in seconds."""
    start = time.perf_counter()
    logger = CSVLogger(folder, name="", version="")
    fit(Slow((4,), 3), blobs(), callbacks=[Throughput()], logger=logger, **arguments)
    seconds = time.perf_counter() - start
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [float(row["train/samples_per_second"]) for row in rows if row["train/samples_per_second"]], seconds


@pytest.mark.parametrize("sanity", [0, 2])
def test_intervals_include_training_but_not_validation(fit: Fit, blobs: Blobs, tmp_path: Path, sanity: int) -> None:
    arguments = {"max_epochs": 2, "log_every_n_steps": 5, "val_check_interval": 5, "num_sanity_val_steps": sanity}
    speeds, seconds = measure(fit, blobs, tmp_path, **arguments)
    assert len(speeds) == 4
    spent = [5 * 10 / speed for speed in speeds]  # five batches of ten samples
    assert all(part > NAP for part in spent)
    assert sum(spent) < seconds - 4 * 3 * NAP  # four validations of three batches


def test_accumulated_batches_count_as_samples(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    speeds, seconds = measure(fit, blobs, tmp_path, accumulate_grad_batches=5, limit_val_batches=0)
    assert len(speeds) == 2  # one per optimizer step
    assert all(NAP < 5 * 10 / speed < seconds for speed in speeds)


def test_an_interval_may_span_two_epochs(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    arguments = {"max_epochs": 6, "limit_train_batches": 1, "log_every_n_steps": 3, "limit_val_batches": 0}
    speeds, seconds = measure(fit, blobs, tmp_path, **arguments)
    assert len(speeds) == 2
    assert all(3 * NAP < 3 * 10 / speed < seconds for speed in speeds)
