"""Resume at the end of an epoch: its hooks run once and see the metrics of the epoch."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping


class EpochEnd(Callback):
    """Lets callbacks that read metrics, such as `EarlyStopping`, continue as in an uninterrupted run.

    A checkpoint of an epoch's validation is written before the hooks at the end of that epoch. A resumed run calls these hooks
    first, but Lightning's checkpoints contain no metrics. This callback saves and restores them
    (https://github.com/Lightning-AI/pytorch-lightning/issues/13225).

    A checkpoint of an epoch's end is written after the hooks. If the run has a step limit, Lightning calls them again, so the
    progress in the checkpoint is moved to the start of the next epoch.

    `EarlyStopping` takes its patience from the configuration. Lightning would take it from the checkpoint.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["metrics"] = {name: value.cpu() for name, value in trainer.callback_metrics.items()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit":
            return
        self._restored = checkpoint.get("metrics", {})
        if trainer.max_steps >= 0:
            _finish_epoch(checkpoint["loops"]["fit_loop"])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets the list in a connector
            if isinstance(callback, EarlyStopping) and (state := checkpoint["callbacks"].get(callback.state_key)):
                state["patience"] = callback.patience

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.callback_metrics.update({name: value.to(pl_module.device) for name, value in self._restored.items()})
        self._restored = {}


def _finish_epoch(loop: dict[str, Any]) -> None:
    """Count an epoch as completed if only the hooks at its end were still running."""
    progress = loop["epoch_progress"]
    if progress["current"]["processed"] != progress["current"]["started"]:
        return
    for counts in progress.values():
        counts["completed"] = counts["processed"]
    batches = loop["epoch_loop.batch_progress"]
    batches["is_last_batch"] = False
    batches["current"] = dict.fromkeys(batches["current"], 0)
