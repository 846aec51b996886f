"""Compare epochs on features that were computed once with epochs that run the frozen backbone.

python benchmarks/transfer.py            two minutes on two CPU cores; appends to benchmarks/transfer.results.jsonl

Both fits train the head of an EfficientNet-Lite0 (random weights, 64x64 pixels) by the strategy feature_extraction on images of
noise, one with `cache_features` and one without. Reported are the median seconds of an epoch after the first, their ratio, the
seconds that computing the features took, and the largest difference between the trained heads.
"""

import statistics
import time
from itertools import pairwise
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from overhead import NUM_CLASSES, Noise, keep, parse_arguments

from zoo import TransferClassifier
from zoo.training.provenance import hardware

SHAPE = (3, 64, 64)


class Timed(Callback):
    """Records when the fit and each of its epochs start."""

    def __init__(self) -> None:
        self.start, self.epochs = time.perf_counter(), list[float]()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append(time.perf_counter())


def fit(cache: bool, num_batches: int, num_epochs: int) -> tuple[Timed, torch.Tensor, Trainer]:
    """Train the head, and return the times and its weight."""
    seed_everything(0, verbose=False)
    system = TransferClassifier(
        SHAPE,
        NUM_CLASSES,
        backbone="tf_efficientnet_lite0",
        weights=None,
        strategy="feature_extraction",
        cache_features=cache,
        optim={"schedule": "constant"},
    )
    timed = Timed()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=num_epochs,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[timed],
    )
    trainer.fit(system, datamodule=Noise(num_batches, SHAPE))
    timed.epochs.append(time.perf_counter())
    return timed, system.net.head.weight.detach(), trainer


def measure(num_batches: int, num_epochs: int) -> dict[str, Any]:
    """Return what the module's docstring says."""
    (slow, its, trainer), (fast, ours, _) = (fit(cache, num_batches, num_epochs) for cache in (False, True))

    def epoch(timed: Timed) -> float:
        ends = timed.epochs[1:]
        return statistics.median(b - a for a, b in pairwise(ends))

    return {
        "work": f"head of EfficientNet-Lite0 at 64x64, {num_batches} batches of 128, {num_epochs} epochs",
        "epoch_s": {"frozen backbone": round(epoch(slow), 3), "features computed once": round(epoch(fast), 4)},
        "ratio": round(epoch(slow) / epoch(fast), 1),
        "computing_features_s": round(fast.epochs[0] - fast.start, 2),
        "largest_difference": float((ours - its).abs().max()),
        "hardware": hardware(trainer),
    }


if __name__ == "__main__":
    arguments = parse_arguments(__file__, __doc__, batches=8, rounds=4)
    keep([measure(arguments.batches, arguments.rounds)], __file__, arguments.output)
