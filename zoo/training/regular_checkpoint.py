"""Checkpoints to resume from, written at regular times whatever the scores are."""

from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from zoo.errors import ZooError


class RegularCheckpoint(Checkpoint):
    """Writes `last.ckpt` after validations, after epochs and at the end of training, and `step=N.ckpt` at regular steps.

    `ModelCheckpoint(save_last=True)` writes only if the score has improved. With `every_n_train_steps` it saves the last batch
    of an epoch before the epoch's validation, and a run resumed from there skips the validation and miscounts epochs. Here, a
    checkpoint due at the last batch of an epoch is written after the epoch.

    Args:
        folder: folder of the checkpoints.
        every_n_steps: training steps between two files `step=N.ckpt`. None: write none.

    Raises:
        ZooError: if `every_n_steps` is below 1.
    """

    def __init__(self, folder: Path, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ZooError(f"checkpoint_every_n_steps must be at least 1, got {every_n_steps}")
        self.folder, self.every_n_steps = folder, every_n_steps
        self._last_at = self._kept_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_at = self._kept_at = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_last_batch:
            self._keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._write_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_last(trainer)
        self._keep(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_last(trainer)

    def _write_last(self, trainer: Trainer) -> None:
        if trainer.global_step > self._last_at and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._last_at = trainer.global_step
            trainer.save_checkpoint(self.folder / "last.ckpt")

    def _keep(self, trainer: Trainer) -> None:
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step > self._kept_at and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._kept_at = step
            trainer.save_checkpoint(self.folder / f"step={step}.ckpt")
