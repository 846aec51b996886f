"""Loaders that all datamodules share, and the order of their samples."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from datamodules.core.batch import Batch, SequenceBatch
from zoo.errors import ZooError

_POOL = 50  # batches within which sequences are sorted by length


class Place(TypedDict):
    """Position of a loader: `batch` batches of `epoch` are served."""

    epoch: int
    batch: int


class BatchOrder:
    """Assign samples to batches as a function of (seed, epoch), independent of the global random generator.

    `batch_size` counts the samples of all ranks together, so that a recipe means the same on any number of processes:
    rank r serves the r-th slice of every batch. With `drop_last`, a short last batch is left out unless it is the only
    one. Without it, every sample is served exactly once. No sample is repeated as padding, so metrics stay exact. If the last
    batch has fewer samples than there are ranks, it is joined to the batch before it, because a rank without a batch would
    hang a collective operation.

    Args:
        size: number of samples.
        batch_size: samples per batch over all ranks.
        shuffle: by (seed, epoch); otherwise in order.
        drop_last: leave a short last batch out.
        seed: of the shuffling.
        rank: of this process.
        world_size: number of processes.
        lengths: (size,) of sequences. Sequences of similar length then share a batch, which saves padding. Shuffled samples
            are sorted within pools of 50 batches, and the order of batches is shuffled again, so that batch composition still
            varies between epochs. Without `shuffle`, all are sorted, and the order of batches is random but fixed, so that the
            first batches cover all lengths.
        classes: (size,) classes of the samples, to serve all classes equally often. This needs `shuffle`. An epoch keeps its
            number of samples: those of small classes are repeated, those of large classes take turns over the epochs.

    Raises:
        ZooError: if there are fewer samples than ranks, or if `batch_size` is not a positive multiple of the number of ranks.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        lengths: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> None:
        if size < world_size:
            raise ZooError(f"cannot serve {size} samples to {world_size} process(es): the split is too small")
        if batch_size < 1 or batch_size % world_size:
            raise ZooError(
                f"batch_size counts all processes together: expected a positive multiple of {world_size}, got {batch_size}"
            )
        self.size, self.shuffle, self.seed, self.rank, self.world_size = size, shuffle, seed, rank, world_size
        self.lengths = lengths
        self._members: list[Tensor] = []  # rows of each class
        if classes is not None:
            counts = torch.bincount(classes)
            self._members = list(torch.split(classes.argsort(stable=True), counts[counts > 0].tolist()))
        self.epoch = 0
        self.start = 0
        self._bounds = [*range(0, size, batch_size), size]
        last = self._bounds[-1] - self._bounds[-2]
        if drop_last and last < batch_size:
            if len(self._bounds) > 2:
                self._bounds.pop()
            else:
                self._bounds[-1] = size - size % world_size  # Every rank has an equal share of the only batch.
        elif last < world_size:
            self._bounds.pop(-2)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch. A position that was restored within another epoch is discarded."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the row numbers (B / world_size,) of this rank's share of each batch, from batch `start` on."""
        start, self.start = self.start, 0
        batches = list(pairwise(self._bounds))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            rows = self._balanced(generator) if self._members else torch.randperm(self.size, generator=generator)
            if self.lengths is not None:
                pool = _POOL * (self._bounds[1] - self._bounds[0])
                pools = torch.split(rows[: self._bounds[-1]], pool)
                rows = torch.cat([part[self.lengths[part].argsort(stable=True)] for part in pools])
                batches = [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
        elif self.lengths is not None:
            rows, fixed = self.lengths.argsort(stable=True), torch.Generator().manual_seed(0)
            batches = [batches[place] for place in torch.randperm(len(batches), generator=fixed).tolist()]
        else:
            rows = torch.arange(self.size)
        for low, high in batches[start:]:
            yield torch.tensor_split(rows[low:high], self.world_size)[self.rank]

    def _balanced(self, generator: torch.Generator) -> Tensor:
        """Draw rows (size,) with all classes equally often, up to 1. Within a class, rows occur equally often, up to 1."""
        share, rest = divmod(self.size, len(self._members))
        one_more = torch.randperm(len(self._members), generator=generator) < rest
        drawn = []
        for members, more in zip(self._members, one_more.tolist(), strict=True):
            num = share + more
            passes = [torch.randperm(len(members), generator=generator) for _ in range(-(-num // len(members)))]
            drawn += [members[torch.cat(passes)[:num]]] if passes else []
        rows = torch.cat(drawn)
        return rows[torch.randperm(self.size, generator=generator)]


class Loader:
    """Base class of loaders: a length, a position for checkpoints, and the `sampler` that Lightning informs about the epoch."""

    batch_sampler = None  # Lightning treats an object with a `sampler` as a DataLoader and reads this attribute.

    def __init__(self, order: BatchOrder) -> None:
        self.sampler = order
        self._place = Place(epoch=order.epoch, batch=0)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        self._place = Place(epoch=self.sampler.epoch, batch=self.sampler.start)
        for batch in self._batches():
            # Before the yield: a checkpoint that is written while this batch trains counts it as served.
            self._place["batch"] += 1
            yield batch

    def state_dict(self) -> Place:
        begun = self._place["epoch"] == self.sampler.epoch  # Otherwise `set_epoch` started an epoch with nothing served.
        return Place(epoch=self.sampler.epoch, batch=self._place["batch"] if begun else 0)

    def load_state_dict(self, state: Place) -> None:
        self._place = Place(epoch=state["epoch"], batch=state["batch"])
        self.sampler.epoch, self.sampler.start = state["epoch"], state["batch"]

    def _batches(self) -> Iterator[Any]:
        raise NotImplementedError


class TensorLoader(Loader):
    """Serve a split that lies in memory, one index operation per batch.

    `rows` (N,) are the positions of the split's samples in `x` (M, ...) and `y` (M, ...).
    """

    def __init__(self, x: Tensor, y: Tensor, rows: Tensor, order: BatchOrder) -> None:
        super().__init__(order)
        self.x, self.y, self.rows = x, y, rows

    def _batches(self) -> Iterator[Batch]:
        for chosen in self.sampler:
            position = self.rows[chosen]
            yield Batch(self.x[position], self.y[position], position)


class FeatureLoader(TensorLoader):
    """Serve features `x` (N, F), one row for each sample of the split. The rest is as in `TensorLoader`."""

    def _batches(self) -> Iterator[Batch]:
        for chosen in self.sampler:
            position = self.rows[chosen]
            yield Batch(self.x[chosen], self.y[position], position)


class SequenceLoader(Loader):
    """Serve sequences that lie in memory, cut to the longest of each batch.

    `x` (M, T, ...) holds all sequences with padding, `lengths` (M,) their lengths. The rest is as in `TensorLoader`.
    """

    def __init__(self, x: Tensor, lengths: Tensor, y: Tensor, rows: Tensor, order: BatchOrder) -> None:
        super().__init__(order)
        self.x, self.lengths, self.y, self.rows = x, lengths, y, rows

    def _batches(self) -> Iterator[SequenceBatch]:
        for chosen in self.sampler:
            position = self.rows[chosen]
            lengths = self.lengths[position]
            x = self.x[position, : int(lengths.max())]
            yield SequenceBatch(x if x.is_floating_point() else x.long(), lengths, self.y[position], position)


class Samples(Protocol):
    """A split that is read sample by sample: a file is opened, decoded and resized."""

    def read(self, epoch: int, position: int) -> Batch:
        """Return one sample, without the batch dimension. Its random draws depend on (seed, epoch, position) alone."""


class _Keyed:
    """Dataset with keys (epoch, position). The epoch is part of the key because workers hold copies of this object."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Batch | ZooError:
        try:
            return self.samples.read(*key)
        except ZooError as error:  # If it were raised in a worker, it would arrive wrapped in the worker's traceback.
            return ZooError(str(error))


def _collate(samples: list[Batch | ZooError]) -> Batch | ZooError:
    return next((sample for sample in samples if isinstance(sample, ZooError)), None) or default_collate(samples)


class _Keys:
    """The order as lists of (epoch, position), which a `DataLoader` takes as batches."""

    def __init__(self, rows: Tensor, order: BatchOrder) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for chosen in self.order:
            yield [(self.order.epoch, position) for position in self.rows[chosen].tolist()]


class WorkerLoader(Loader):
    """Serve a split that is read sample by sample, in `num_workers` processes (0: in this process).

    This class contains a `DataLoader` instead of inheriting from it, because Lightning replaces the sampler of a `DataLoader`
    under DDP.
    """

    def __init__(self, samples: Samples, rows: Tensor, order: BatchOrder, num_workers: int = 0) -> None:
        super().__init__(order)
        self._loader: DataLoader[Batch | ZooError] = DataLoader(
            _Keyed(samples),  # type: ignore[arg-type]  # map-style, but with pairs as keys and without a length
            batch_sampler=_Keys(rows, order),
            num_workers=num_workers,
            collate_fn=_collate,
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(0),  # Otherwise every pass draws from the global generator.
        )

    def _batches(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, ZooError):
                raise ZooError(str(batch))  # Raising `batch` itself would keep this frame, and so the workers, alive.
            yield batch
