"""Checkpoints by the number of steps."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer


class StepCheckpoint(Callback):
    """Keeps `step=N.ckpt` every `every_n_steps` optimizer steps, and `last.ckpt` where training ends between validations.

    What falls due on an epoch's last batch is written when the epoch is over. `ModelCheckpoint` would write it before
    the validation, and a run resumed from there skips that validation and counts its epochs wrongly from then on.
    """

    def __init__(self, folder: Path, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"checkpoint_every_n_steps must be at least 1, got {every_n_steps}")
        self.folder, self.every_n_steps = folder, every_n_steps
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not trainer.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_if_due(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch and not trainer.fast_dev_run:  # by max_steps or max_time: ModelCheckpoint has not seen it
            trainer.save_checkpoint(self.folder / "last.ckpt")

    def _save_if_due(self, trainer: Trainer) -> None:
        step = trainer.global_step
        if self.every_n_steps and step % self.every_n_steps == 0 and step > self._last_step and not trainer.fast_dev_run:
            self._last_step = step
            trainer.save_checkpoint(self.folder / f"step={step}.ckpt")
