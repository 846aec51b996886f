"""Stops a run that has lost its numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer


class NonFiniteGuard(Callback):
    """Ends training on a NaN or infinite loss.

    It looks at steps that log, where the loss is read anyway, and at each epoch's last: a look per step would synchronise.

    Raises:
        FloatingPointError: naming the step and the learning rate.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % trainer.log_every_n_steps and not trainer.is_last_batch:  # type: ignore[attr-defined]
            return
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if loss is not None and not torch.isfinite(loss):
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            clip = "trainer.gradient_clip_val" if pl_module.automatic_optimization else "model.game.clip"
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {trainer.global_step} (lr {lr:.2g}): lower model.lr, or set {clip}"
            )
