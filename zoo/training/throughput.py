"""Training speed in samples per second."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `train/samples_per_second`, averaged over the steps since the last logged one and summed over processes.

    Devices are not synchronised. On an asynchronous device, the time of an interval is the time to queue its work, which is
    correct on average. Time spent in validation does not count.
    """

    def __init__(self) -> None:
        self._num_samples = 0
        self._seconds = 0.0
        self._since = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._num_samples, self._seconds = 0, 0.0  # the sanity check has called on_validation_start
        self._since = time.perf_counter()  # a run resumed within an epoch does not call on_train_epoch_start

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._num_samples += len(batch[0])
        if trainer.global_step % trainer.log_every_n_steps == 0 and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # type: ignore[attr-defined]
            self._seconds += time.perf_counter() - self._since
            pl_module.log("train/samples_per_second", trainer.world_size * self._num_samples / self._seconds)
            self._num_samples, self._seconds, self._since = 0, 0.0, time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seconds += time.perf_counter() - self._since  # for the batches since the last logged one

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seconds += time.perf_counter() - self._since

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()
