"""Callbacks for runs of several processes. They write samples, rates, gradients and buffers of each process to files."""

from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from torch.distributed.tensor import DTensor


class Recorder(Callback):
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.positions: list[list[int]] = []
        self.rates: list[float] = []
        self.gradients: dict[str, torch.Tensor] = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: tuple[torch.Tensor, ...], batch_idx: int
    ) -> None:
        self.positions.append(batch[2].tolist())
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer) -> None:
        if not self.gradients:
            for name, parameter in pl_module.named_parameters():
                gradient = parameter.grad
                self.gradients[name] = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient.clone()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        record = {"positions": self.positions, "rates": self.rates, "gradients": self.gradients}
        torch.save(record, self.folder / f"rank{trainer.global_rank}of{trainer.world_size}.pt")


class BufferRecorder(Callback):
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, "test")

    def _save(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        torch.save(dict(model.named_buffers()), self.folder / f"{stage}{trainer.global_rank}of{trainer.world_size}.pt")
