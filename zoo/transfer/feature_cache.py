"""Features of a frozen backbone, computed once: nothing before the head changes, so every epoch would compute the same."""

import time
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from zoo.nn.modes import evaluating
from zoo.tasks.evaluation import prepared
from zoo.training.reporting import facts, gathered_batches


class HasFeatures(Protocol):
    """A system with a backbone."""

    @property
    def strategy(self) -> str:
        """Which layers train."""

    def features(self, batch: Any) -> Tensor:
        """Compute the backbone's features (B, F) of a batch."""


def compute_features(trainer: Trainer, system: HasFeatures) -> bool:
    """Compute the features of the training and validation samples, and let the datamodule serve them in this fit.

    Samples are prepared as in evaluation. Each process computes its share, and all of them keep all features in memory, on the
    CPU. Return False if the datamodule cannot serve features, because it is not one of the zoo's.
    """
    data = facts(trainer)
    loader, transform, splits = data.loader, data.transform, data.splits
    if loader is None or transform is None or splits is None or data.training_part_in_order is None or data.replace is None:
        return False

    def features(part: str) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in loader(part):
            seen = prepared(trainer, batch, transform)
            with trainer.precision_plugin.forward_context():
                yield system.features(seen).float(), batch.position

    start, sizes = time.perf_counter(), [len(splits[part].rows) for part in ("train", "val")]
    _say(f"computing features of {sizes[0]:,} training and {sizes[1]:,} validation samples (model.cache_features) ...")
    with evaluating(trainer.lightning_module), torch.no_grad(), data.training_part_in_order() as training_part:
        found = {name: gathered_batches(trainer, features(part)) for name, part in (("train", training_part), ("val", "val"))}
    parts = {name: _in_order(rows, splits[name].rows) for name, rows in found.items()}
    data.replace(parts)
    _say(f"features computed once, without augmentation, in {time.perf_counter() - start:.1f} s")
    return True


def forget_features(trainer: Trainer) -> None:
    """Let the datamodule serve samples again."""
    if (replace := facts(trainer).replace) is not None:
        replace({})


@rank_zero_only
def _say(line: str) -> None:
    print(line, flush=True)


def _in_order(found: list[Tensor], rows: Tensor) -> Tensor:
    """Sort features (N, F) with their positions (N,) into the order of `rows` (N,)."""
    features, position = found
    place = torch.empty_like(rows)
    place[rows.argsort()] = position.argsort()
    return features[place].clone()
