"""Validation scores by sequence length."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning import Callback, LightningModule, Trainer
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from zoo.errors import ZooError
from zoo.training.reporting import gathered, log_picture, writes

Bucket = tuple[int, int]  # shortest and longest length


class LengthBuckets(Callback):
    """Logs `val/acc_len_A-B` and `val/loss_len_A-B` at every validation: scores of the sequences with A to B steps.

    For classifiers of sequences. There are at most four buckets of lengths. The first validation sets them, and a resumed run
    keeps them. Curves of the scores are drawn into `folder`/length_buckets.png when training ends, and sent to W&B. If all
    sequences have the same length, nothing is reported.

    Args:
        folder: folder of the picture.
        edges: one to three lengths, the longest of each bucket except the last. None: quartiles of the validation lengths.

    Raises:
        ZooError: if the edges do not increase, or if there are too many.
    """

    def __init__(self, folder: Path, edges: Sequence[int] | None = None) -> None:
        if edges is not None and (not 1 <= len(edges) <= 3 or any(low >= high for low, high in pairwise([0, *edges]))):
            raise ZooError(f"edges must be one to three lengths, each above the one before it, got {list(edges)}")
        self.folder, self.edges = folder, edges
        self._buckets: list[Bucket] = []
        self._epochs: list[float] = []  # at each validation, with fractions of an epoch
        self._scores: list[list[list[float]]] = []  # at each validation: accuracy and loss of each bucket
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []  # for each batch: lengths, whether correct, losses, each (B,)

    def state_dict(self) -> dict[str, Any]:
        return {"buckets": self._buckets, "epochs": self._epochs, "scores": self._scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._buckets = [(low, high) for low, high in state_dict["buckets"]]
        self._epochs, self._scores = list(state_dict["epochs"]), list(state_dict["scores"])

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._parts = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not trainer.sanity_checking:
            logits, target = outputs["preds"].float(), outputs["target"]
            losses = F.cross_entropy(logits, target, reduction="none")
            self._parts.append((batch.lengths, logits.argmax(1) == target, losses))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts, self._parts = self._parts, []
        if not parts:
            return
        lengths, correct, losses = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
        self._buckets = self._buckets or buckets(torch.cat(gathered(trainer, [lengths])).numpy(), self.edges)
        if len(self._buckets) == 1:
            return
        place = torch.bucketize(lengths, torch.tensor([longest for _, longest in self._buckets[:-1]]))
        columns = torch.stack([torch.ones(len(lengths)), correct, losses], dim=1).double()
        sums = F.one_hot(place, len(self._buckets)).double().T @ columns
        count, num_correct, loss = torch.stack(gathered(trainer, [sums])).sum(0).unbind(1)
        scores = [(num_correct / count).tolist(), (loss / count).tolist()]  # NaN if a bucket is empty
        for (low, high), occupied, accuracy, mean_loss in zip(self._buckets, count > 0, *scores, strict=True):
            if occupied:  # values are equal on all processes, but without sync_dist Lightning warns
                values = {f"val/acc_len_{low}-{high}": accuracy, f"val/loss_len_{low}-{high}": mean_loss}
                pl_module.log_dict(values, sync_dist=True)
        if trainer.state.fn == "fit":
            done = (trainer.fit_loop.epoch_loop.batch_idx + 1) / trainer.num_training_batches
            self._epochs.append(trainer.current_epoch + done)
            self._scores.append(scores)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._epochs or not writes(trainer):
            return
        path = self.folder / "length_buckets.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        curves_figure(self._epochs, np.asarray(self._scores), self._buckets).savefig(path, dpi=120)
        log_picture(trainer, "val/length_buckets", path)


def buckets(lengths: np.ndarray, edges: Sequence[int] | None = None) -> list[Bucket]:
    """Divide lengths (N,) into buckets at `edges`, or at the quartiles. Equal edges give fewer buckets."""
    if edges is None:
        edges = np.quantile(lengths, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    low, high = int(lengths.min()), int(lengths.max())
    longest = sorted({edge for edge in edges if low <= edge < high} | {high})
    return list(zip([low, *(edge + 1 for edge in longest[:-1])], longest, strict=True))


def curves_figure(epochs: Sequence[float], scores: np.ndarray, bounds: Sequence[Bucket]) -> Figure:
    """Draw accuracy and loss of each bucket over the epochs, from scores (V, 2, num_buckets) of V validations."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    colours = colormaps["viridis_r"](np.linspace(0.15, 1, len(bounds)))
    for axes, curves, name in zip(panels, scores.transpose(1, 2, 0), ("accuracy", "mean loss"), strict=True):
        for curve, (low, high), colour in zip(curves, bounds, colours, strict=True):
            axes.plot(epochs, curve, marker="o", markersize=3, color=colour, label=f"{low} to {high}")
        axes.set_xlabel("epoch")
        axes.set_title(f"validation {name}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), title="steps", loc="outside right upper")
    return figure
