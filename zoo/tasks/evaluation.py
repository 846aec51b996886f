"""What the callbacks that evaluate codes and samples share: a pass over data outside of the trainer's own loop."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from zoo.errors import ZooError


def batches(trainer: Trainer, split: str, data: LightningDataModule | None = None, num: int | None = None) -> Iterator[Any]:
    """This rank's batches of a split as evaluation sees them, on the trainer's device and within its limits for the split.

    They are of `data`, or the trainer's own; with `num` they end after so many samples.
    """
    data_module: Any = data or trainer.datamodule  # type: ignore[attr-defined]  # set while it runs
    loader = data_module.loader(split)
    limit = getattr(trainer, f"limit_{split}_batches")  # a number, or as a float a share
    for batch in islice(loader, limit if isinstance(limit, int) else int(limit * len(loader))):
        if num is not None and num <= 0:
            return
        moved = {name: value[:num].to(trainer.strategy.root_device) for name, value in batch._asdict().items()}
        yield data_module.transform(batch._replace(**moved), 0, False)
        num = None if num is None else num - len(batch.x)


def samples(model: Any, trainer: Trainer, num: int, at_once: int = 500) -> Iterator[Tensor]:
    """Draw from a system that has `sample(n)`: other samples on every rank, and the same at every test."""
    for start in range(0, num, at_once):
        with isolate_rng():
            torch.manual_seed(start * trainer.world_size + trainer.global_rank)
            images = model.sample(min(at_once, num - start))
        yield images


def binarized(trainer: Trainer) -> Any:
    """How the trainer's data make pixels binary, or None."""
    return getattr(getattr(trainer.datamodule, "transform", None), "binarize", None)  # type: ignore[attr-defined]


def require_methods(callback: object, system: LightningModule, *methods: str) -> None:
    """Refuse a system that a callback can't evaluate, before it is trained.

    Raises:
        ZooError: naming the method that is missing.
    """
    for method in methods:
        if not hasattr(system, method):
            kind = type(callback).__name__
            raise ZooError(f"{kind} is for systems with {method}(), {type(system).__name__} has none: leave the callback out")


def check_counts(**counts: int) -> None:
    """Refuse numbers of images or samples that are none.

    Raises:
        ZooError: naming the argument.
    """
    for name, count in counts.items():
        if count < 1:
            raise ZooError(f"{name} must be at least 1, got {count}")
