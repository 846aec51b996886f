"""Stepping of the plateau schedule before checkpoints are written."""

from lightning import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau


class PlateauStep(Callback):
    """Steps `ReduceLROnPlateau` at every validation, before checkpoints are written.

    Lightning steps it after checkpoints are written and does not catch up on resumption, so a resumed run would miss a
    validation.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or (not trainer.training and trainer.state.fn != "fit"):
            return
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(trainer.callback_metrics[str(config.monitor)])
