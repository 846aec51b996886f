"""Features of a frozen backbone, computed once: nothing before the head changes, so every epoch would compute the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

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
    if data.loader is None or data.transform is None or data.training_part_in_order is None or data.replace is None:
        return False

    def features(part: str) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in data.loader(part):  # type: ignore[misc]  # checked above
            moved = {name: value.to(trainer.strategy.root_device) for name, value in batch._asdict().items()}
            seen = data.transform(batch._replace(**moved), 0, False)
            with trainer.precision_plugin.forward_context():
                yield system.features(seen).float(), batch.position

    with evaluation(trainer), data.training_part_in_order() as training_part:
        found = {name: gathered_batches(trainer, features(part)) for name, part in (("train", training_part), ("val", "val"))}
    parts = {name: _in_order(rows, data.splits[name].rows) for name, rows in found.items()}  # type: ignore[index]
    data.replace(parts)
    _tell(f"features of {len(parts['train']):,} training samples computed once, without augmentation (model.cache_features)")
    return True


def forget_features(trainer: Trainer) -> None:
    """Let the datamodule serve samples again."""
    if (replace := facts(trainer).replace) is not None:
        replace({})


@contextmanager
def evaluation(trainer: Trainer) -> Iterator[None]:
    """Evaluate the system without gradients, and set the modes of its layers again at the end."""
    system = trainer.lightning_module
    was_training = system.training
    system.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        system.train(was_training)


def _in_order(found: list[Tensor], rows: Tensor) -> Tensor:
    """Sort features (N, F) with their positions (N,) into the order of `rows` (N,)."""
    features, position = found
    place = torch.empty_like(rows)
    place[rows.argsort()] = position.argsort()
    return features[place].clone()


@rank_zero_only
def _tell(line: str) -> None:
    print(line, flush=True)
