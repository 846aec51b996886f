"""Stop a run whose loss or weights are NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from zoo.errors import NonFiniteError


class NonFiniteGuard(Callback):
    """Stops training if the loss is NaN or infinite, or before a checkpoint with such weights would replace a good one.

    The loss is checked at logged steps, where it is read anyway, and at the last step of each epoch. Checking every step would
    synchronise the device each time. Weights and buffers are checked before a checkpoint is written, because a finite loss does
    not prove them finite: it is computed before the update, and BatchNorm updates its statistics even in steps that a gradient
    scaler skips.

    Raises:
        NonFiniteError: naming the value, the step and the learning rate.
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
        non_finite = [name for name, value in values.items() if not value.isfinite().all()]
        if non_finite:
            raise NonFiniteError(f"{non_finite[0]} is not finite {_where(trainer, pl_module)}; the previous checkpoint is kept")


def _where(trainer: Trainer, model: LightningModule) -> str:
    lr = trainer.optimizers[0].param_groups[0]["lr"]
    clip = "trainer.gradient_clip_val" if model.automatic_optimization else "model.clip"
    return f"at step {trainer.global_step} (lr {lr:.2g}): lower model.lr, or set {clip}"
