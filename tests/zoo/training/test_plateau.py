"""The plateau schedule steps once per validation, before the checkpoint of the validation is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import read_checkpoint
from zoo.training.regular_checkpoint import RegularCheckpoint
from zoo.training.system import Outputs

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]

LR = 1e-3


class Stalled(MLPClassifier):
    """Has the same validation loss at every validation, although it trains."""

    def validation_step(self, batch: Batch, batch_idx: int) -> Outputs:
        self.log("val/loss", 1.0, batch_size=len(batch.x))
        return {}


def build(system: type[MLPClassifier], patience: int) -> MLPClassifier:
    return system((4,), 3, lr=LR, optim={"schedule": "plateau", "patience": patience, "factor": 0.5})


@pytest.mark.parametrize(
    ("patience", "arguments", "validations"),
    [
        (0, {"max_epochs": 4}, 4),
        (1, {"max_epochs": 5}, 5),
        (0, {"val_check_interval": 2}, 5),  # ten batches
        (1, {"val_check_interval": 2, "max_epochs": 2}, 10),
        (0, {"val_check_interval": 5, "accumulate_grad_batches": 2}, 2),
        (0, {"check_val_every_n_epoch": 2, "max_epochs": 6}, 3),
        (0, {"num_sanity_val_steps": 2, "max_epochs": 2}, 2),
    ],
)
def test_decays_after_more_than_patience_validations_without_improvement(
    fit: Fit, blobs: Blobs, patience: int, arguments: dict[str, Any], validations: int
) -> None:
    trainer = fit(build(Stalled, patience), blobs(), **arguments)
    drops = (validations - 1) // (patience + 1)  # the first validation sets the best loss
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(LR * 0.5**drops)


def test_does_not_decay_while_the_loss_falls(fit: Fit, blobs: Blobs) -> None:
    trainer = fit(build(MLPClassifier, patience=0), blobs(), val_check_interval=5)
    assert trainer.optimizers[0].param_groups[0]["lr"] == LR


def test_validation_outside_of_training_does_not_step_the_schedule(fit: Fit, blobs: Blobs) -> None:
    trainer = fit(build(Stalled, patience=0), data := blobs())
    scheduler: Any = trainer.lr_scheduler_configs[0].scheduler
    before = scheduler.state_dict()
    trainer.validate(trainer.lightning_module, datamodule=data, verbose=False)
    assert scheduler.state_dict() == before


def test_the_checkpoint_of_a_validation_holds_the_decayed_rate(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    trainer = fit(
        build(Stalled, patience=0), blobs(), max_epochs=2, callbacks=[RegularCheckpoint(tmp_path)], enable_checkpointing=True
    )
    checkpoint = read_checkpoint(tmp_path / "last.ckpt")
    assert checkpoint["global_step"] == trainer.global_step
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(LR * 0.5)
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 2
