"""A run that is resumed at the end of an epoch keeps its early-stopping counter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPClassifier
from zoo.training.epoch_end import EpochEnd
from zoo.training.regular_checkpoint import RegularCheckpoint

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]

# ten batches per epoch
LIMITS: dict[str, Callable[[int], dict[str, int]]] = {
    "epochs": lambda epochs: {"max_epochs": epochs},
    "steps": lambda epochs: {"max_epochs": -1, "max_steps": 10 * epochs},
}


class Stopping(EarlyStopping):
    """Never sees an improvement after the first epoch, and notes the epochs at whose end it is called."""

    def __init__(self, patience: int) -> None:
        super().__init__("val/loss", patience=patience, min_delta=10.0)
        self.epochs: list[int] = []

    @property
    def state_key(self) -> str:
        return "Stopping"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append(trainer.global_step // 10)
        super().on_train_epoch_end(trainer, pl_module)


@pytest.fixture
def train(fit: Fit, blobs: Blobs, tmp_path: Path) -> Callable[..., Stopping]:
    def run(checkpoint: str | None = None, patience: int = 9, **limits: int) -> Stopping:
        stopping = Stopping(patience)
        callbacks: list[Any] = [stopping, EpochEnd(), RegularCheckpoint(tmp_path, 10)]
        path = tmp_path / checkpoint if checkpoint else None
        fit(MLPClassifier((4,), 3), blobs(), callbacks=callbacks, enable_checkpointing=True, ckpt_path=path, **limits)
        return stopping

    return run


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("checkpoint", "epochs"), [("last.ckpt", [2, 3, 4]), ("step=20.ckpt", [3, 4])])
def test_early_stopping_goes_on_with_its_counter(
    train: Callable[..., Stopping], limit: str, checkpoint: str, epochs: list[int]
) -> None:
    """last.ckpt is written before the hooks of the epoch's end, step=20.ckpt after them."""
    first = train(**LIMITS[limit](2))
    assert (first.wait_count, first.epochs) == (1, [1, 2])
    resumed = train(checkpoint, **LIMITS[limit](4))
    assert resumed.epochs == epochs
    assert resumed.wait_count == 3  # as in a run of four epochs
    assert resumed.best_score == first.best_score


@pytest.mark.parametrize("limit", LIMITS)
def test_a_run_that_was_stopped_early_stays_stopped_until_its_patience_is_raised(
    train: Callable[..., Stopping], limit: str
) -> None:
    assert train(patience=2, **LIMITS[limit](9)).epochs == [1, 2, 3]
    assert train("last.ckpt", patience=2, **LIMITS[limit](9)).epochs == [3]
    assert train("last.ckpt", patience=4, **LIMITS[limit](9)).epochs == [3, 4, 5]
