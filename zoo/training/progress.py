"""Progress of training as plain lines, for log files and pipes."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar


class LineProgress(ProgressBar):
    """Prints one line per validation, and one per minute within long epochs."""

    def __init__(self, seconds_between_lines: float = 60.0) -> None:
        super().__init__()
        self._seconds_between_lines = seconds_between_lines
        self._enabled = True
        self._start = self._last = time.perf_counter()

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = self._last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
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
                if name in _SHOWN or (name.startswith("val/") and "_len_" not in name)
            }
            values = "  ".join(f"{name} {value:.4g}" for name, value in sorted(shown.items()))
            last = f"/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else ""  # -1: max_steps ends the run
            print(f"epoch {trainer.current_epoch + 1}{last}{batch}  {values}  {self._last - self._start:.1f} s", flush=True)


_SHOWN = {"train/loss", "train/acc"}
