"""Progress of training as plain lines, for log files and pipes."""

import time
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor


class LineProgress(ProgressBar):
    """Prints one line per validation, and one per minute within long epochs.

    `train/loss` is the mean over the batches of the epoch so far. The sum stays on the device until a line is printed.
    """

    def __init__(self, seconds_between_lines: float = 60.0) -> None:
        super().__init__()
        self._seconds_between_lines = seconds_between_lines
        self._enabled = True
        self._start = self._last = time.perf_counter()
        self._sum: Tensor | float = 0.0
        self._num_batches = 0

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = self._last = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sum, self._num_batches = 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.automatic_optimization and isinstance(outputs, Mapping):
            # Lightning has divided the loss by the number of accumulated batches.
            self._sum += outputs["loss"] * trainer.accumulate_grad_batches
            self._num_batches += 1
        if time.perf_counter() - self._last > self._seconds_between_lines:
            self._print_line(trainer, f" {batch_idx + 1}/{trainer.num_training_batches}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._print_line(trainer, "")

    def _print_line(self, trainer: Trainer, batch: str) -> None:
        self._last = time.perf_counter()
        if self._enabled:
            shown = {
                name: float(value)
                for name, value in trainer.callback_metrics.items()
                if name.startswith("val/") and "_len_" not in name
            }
            if self._num_batches:
                shown["train/loss"] = float(self._sum) / self._num_batches
            values = "  ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
            last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""  # -1: max_steps ends the run
            print(f"epoch {trainer.current_epoch + 1}{last}{batch}  {values}  {self._last - self._start:.1f} s", flush=True)
