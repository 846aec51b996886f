"""Stops a run that has lost its numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from zoo.errors import NonFiniteError


class NonFiniteGuard(Callback):
    """Ends training on a NaN or infinite loss, and keeps weights that are either from being written over good ones.

    It looks at the loss of steps that log, where it is read anyway, and of each epoch's last: a look per step would
    synchronise. At weights and buffers it looks before a checkpoint is written, since a step's loss is that of the weights
    before it, and BatchNorm's averages keep what a scaler of gradients has skipped.

    Raises:
        NonFiniteError: naming the step and the learning rate.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % trainer.log_every_n_steps and not trainer.is_last_batch:  # type: ignore[attr-defined]
            return
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if loss is not None and not torch.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss.item()} {_where(trainer, pl_module)}")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if not trainer.optimizers:  # not in training
            return
        values = {**dict(pl_module.named_parameters()), **dict(pl_module.named_buffers())}
        lost = [name for name, value in values.items() if not value.isfinite().all()]
        if lost:
            raise NonFiniteError(f"{lost[0]} is not finite {_where(trainer, pl_module)}; the checkpoint before is kept")


def _where(trainer: Trainer, model: LightningModule) -> str:
    lr = trainer.optimizers[0].param_groups[0]["lr"]
    clip = "trainer.gradient_clip_val" if model.automatic_optimization else "model.clip"
    return f"at step {trainer.global_step} (lr {lr:.2g}): lower model.lr, or set {clip}"
