"""Batches with the same number of samples from each of a few classes, for losses that compare the samples of a batch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from datamodules.core.loader import BatchOrder
from zoo.errors import ZooError


class ClassBatches(BatchOrder):
    """Order of training batches of P classes with K different samples each (Hermans et al., 2017, arXiv:1703.07737, section 2).

    An epoch has as many whole batches as the samples fill. In it, classes occur equally often, up to 1, and so do the samples
    of a class. Classes of equal size are therefore served completely. Large classes show other samples in the next epoch.

    Rank r gets the r-th share of the classes of each batch, with all their samples. A loss under DDP therefore compares the
    samples of P / world_size classes.

    Args:
        classes: (N,) class of each sample.
        classes_per_batch: P.
        samples_per_class: K.
        shuffle: by (seed, epoch); otherwise every epoch repeats the first one.
        seed: of the shuffling.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ZooError: if there are fewer than P classes, if a class has fewer than K samples, or if the processes cannot share P.
    """

    def __init__(
        self,
        classes: Tensor,
        classes_per_batch: int,
        samples_per_class: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        counts = torch.bincount(classes)
        present = counts[counts > 0]
        if len(present) < classes_per_batch:
            raise ZooError(f"classes_per_batch must be at most {len(present)}, the number of classes, got {classes_per_batch}")
        if int(present.min()) < samples_per_class:
            smallest = int(torch.where(counts > 0, counts, len(classes) + 1).argmin())
            raise ZooError(
                f"samples_per_class must be at most {int(present.min())}, the training samples of class {smallest}, "
                f"got {samples_per_class}: lower it, or add samples"
            )
        if classes_per_batch % world_size or classes_per_batch < 2 * world_size:
            raise ZooError(
                f"classes_per_batch counts all processes together, and each needs 2: expected a multiple of {world_size} "
                f"from {2 * world_size} on, got {classes_per_batch}"
            )
        super().__init__(
            len(classes),
            classes_per_batch * samples_per_class,
            shuffle=shuffle,
            drop_last=True,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        self.classes_per_batch, self.samples_per_class = classes_per_batch, samples_per_class
        self._members = list(torch.split(classes.argsort(stable=True), present.tolist()))

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the row numbers (P K / world_size,) of this rank's share of each batch, class by class, from `start` on."""
        start, self.start = self.start, 0
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + (self.epoch if self.shuffle else 0))
        chosen = take_turns(len(self._members), self.classes_per_batch, len(self), generator)
        times = torch.bincount(chosen.flatten(), minlength=len(self._members)).tolist()
        samples = [
            iter(members[take_turns(len(members), self.samples_per_class, num, generator)])
            for members, num in zip(self._members, times, strict=True)
        ]
        batches = [torch.stack([next(samples[label]) for label in labels]) for labels in chosen.tolist()]
        for batch in batches[start:]:
            yield torch.tensor_split(batch, self.world_size)[self.rank].flatten()


def take_turns(num_items: int, size: int, num_groups: int, generator: torch.Generator) -> Tensor:
    """Draw groups of different items, (num_groups, size) int64, so that all items occur equally often, up to 1.

    There must be at least `size` items. They are drawn as one permutation after the other. Where a group needs items of two
    permutations, those that it has already are moved to the end of the second one.
    """
    groups = torch.empty(num_groups, size, dtype=torch.long)
    waiting: list[int] = []
    for group in groups:
        if len(waiting) < size:
            fresh, held = torch.randperm(num_items, generator=generator).tolist(), set(waiting)
            waiting += sorted(fresh, key=held.__contains__)  # A stable sort: new items come first, in random order.
        group[:], waiting = torch.tensor(waiting[:size]), waiting[size:]
    return groups
