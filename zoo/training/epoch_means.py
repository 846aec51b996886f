"""Means of training values over an epoch, computed without waiting for the device."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import MetricCollection

from zoo.training.reporting import gathered, log_means


class EpochMeans(Callback):
    """Logs the means of a system's training values when an epoch ends, such as `train/loss` and `train/acc`.

    The system adds the values of every step. Their sums, and the states of the metrics, stay on the device until the epoch
    ends, so that no step waits for it. Several processes count together. A value that only some steps have is averaged over
    those. A checkpoint within an epoch holds the sums, so that a resumed run logs the mean over the whole epoch. If the number
    of processes has changed, the sums of those that are no longer there are lost.

    Args:
        metrics: the metrics of training. They are computed and reset once per epoch.
    """

    def __init__(self, metrics: MetricCollection) -> None:
        self.metrics = metrics
        self._sums: dict[tuple[str, ...], Tensor] = {}  # by the names of values that were added together
        self._nums: dict[tuple[str, ...], float] = {}
        self._logged = False  # whether an earlier session has logged these means, as it was resumed from the end of an epoch

    def add(self, values: Mapping[str, Tensor], num: int) -> None:
        """Add the means (0-d, without a graph) over a batch of `num` samples or tokens."""
        names, batch = tuple(values), torch.stack(list(values.values()))
        if not batch.is_floating_point() or batch.dtype.itemsize < 4:
            batch = batch.float()
        self._sums[names] = torch.add(self._sums.get(names, torch.zeros_like(batch)), batch, alpha=num)
        self._nums[names] = self._nums.get(names, 0.0) + num
        self._logged = False

    def update_metrics(self, preds: Tensor, target: Tensor) -> None:
        """Add the predictions and targets of a batch to the metrics."""
        self.metrics.update(preds.detach(), target)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._sums, self._nums = {}, {}
        self.metrics.reset()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        totals: dict[str, tuple[Tensor | float, float]] = {}
        for names, sums in self._sums.items():
            for name, value in zip(names, sums.to(pl_module.device).unbind(), strict=True):
                total, num = totals.get(name, (0.0, 0.0))
                totals[name] = total + value, num + self._nums[names]
        metrics = self.metrics.compute() if any(metric.update_called for metric in self.metrics.values()) else {}
        if self._logged:  # EarlyStopping may want them nevertheless
            means = {name: torch.as_tensor(total / num) for name, (total, num) in totals.items()}
            trainer.callback_metrics.update({**means, **metrics})
            return
        for name, (total, num) in totals.items():
            log_means(pl_module, {name: torch.as_tensor(total / num)}, num)
        if metrics:
            log_means(pl_module, metrics, 1)  # they are those of all processes already

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        metrics = {
            name: (metric.update_count, _on_cpu(metric.metric_state)) for name, metric in self.metrics.items(keep_base=True)
        }
        state = {"sums": _on_cpu(self._sums), "nums": self._nums, "metrics": metrics}
        checkpoint["epoch_means"] = gathered(trainer, [state])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get("epoch_means", [])
        if trainer.state.fn != "fit" or trainer.global_rank >= len(states):
            return
        state, device = states[trainer.global_rank], pl_module.device
        self._sums = {names: sums.to(device) for names, sums in state["sums"].items()}
        self._nums, self._logged = state["nums"], True
        for name, metric in self.metrics.items(keep_base=True):
            if name not in state["metrics"]:
                continue
            metric._update_count, values = state["metrics"][name]  # without a count, torchmetrics warns that there is no value
            for key, value in values.items():
                setattr(metric, key, [part.to(device) for part in value] if isinstance(value, list) else value.to(device))


def _on_cpu(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return copies on the CPU of tensors, and of lists of tensors."""
    return {
        name: [part.cpu() for part in value] if isinstance(value, list) else value.detach().to("cpu", copy=True)
        for name, value in values.items()
    }
