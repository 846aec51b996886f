"""Helpers of reports that evaluate codes and samples: batches and samples outside the trainer's own loop."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from zoo.errors import ZooError
from zoo.tasks.abilities import Generates
from zoo.training.facts import facts_of
from zoo.training.reporting import facts


def batches(trainer: Trainer, split: str, data: LightningDataModule | None = None, num: int | None = None) -> Iterator[Any]:
    """Iterate over this rank's batches of a split, transformed as in evaluation, within the trainer's limits for the split.

    Args:
        trainer: for device and limits.
        split: "train", "val" or "test".
        data: datamodule; None for the trainer's.
        num: stop after this many samples. None: no limit.

    Raises:
        ZooError: if the datamodule has no `loader(split)` or no `transform`.
    """
    source = data or trainer.datamodule  # type: ignore[attr-defined]  # set by a connector of Lightning's
    facts = facts_of(source)
    if facts.loader is None or facts.transform is None:
        raise ZooError(
            f"a report reads the {split} split with loader(split) and transform, but {type(source).__name__} lacks one: "
            "define both, or leave the report out"
        )
    loader = facts.loader(split)
    limit = getattr(trainer, f"limit_{split}_batches")  # an int is a number of batches, a float a fraction
    for batch in islice(loader, limit if isinstance(limit, int) else int(limit * len(loader))):
        if num is not None and num <= 0:
            return
        first = {name: value[:num] for name, value in batch._asdict().items()}
        yield prepared(trainer, batch._replace(**first), facts.transform)
        num = None if num is None else num - len(batch.x)


def prepared(trainer: Trainer, batch: Any, transform: Callable[[Any, int, bool], Any]) -> Any:
    """Return a loader's batch on the trainer's device, transformed as in evaluation."""
    moved = {name: value.to(trainer.strategy.root_device) for name, value in batch._asdict().items()}
    return transform(batch._replace(**moved), 0, False)


def has_training_samples(trainer: Trainer) -> bool:
    """Return whether the data have training samples. Data that are new to a tested checkpoint have a test part only."""
    splits = facts(trainer).splits
    return splits is None or "train" in splits


def samples(model: Generates, trainer: Trainer, num: int, at_once: int = 500) -> Iterator[Tensor]:
    """Draw `num` samples in batches of `at_once`. Ranks draw different samples, and every call draws the same ones."""
    for start in range(0, num, at_once):
        with isolate_rng():
            torch.manual_seed(start * trainer.world_size + trainer.global_rank)
            images = model.sample(min(at_once, num - start))
        yield images


def check_counts(**counts: int) -> None:
    """Check that numbers of images or samples are at least 1.

    Raises:
        ZooError: if one is not. The message names the argument.
    """
    for name, count in counts.items():
        if count < 1:
            raise ZooError(f"{name} must be at least 1, got {count}")
