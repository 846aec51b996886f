"""The loaders every datamodule shares, and the one rule by which both order their samples."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from datamodules.core.batch import Batch, SequenceBatch
from zoo.errors import ZooError

_POOL = 50  # batches among which sequences are sorted by length


class Place(TypedDict):
    """How far a loader has come: `batch` batches of `epoch` are served."""

    epoch: int
    batch: int


class BatchOrder:
    """Which samples make which batch: a function of (seed, epoch), never of the global generator.

    `batch_size` counts the samples of all ranks together, so that a recipe means the same on any number of processes:
    rank r serves the r-th slice of every batch. With `drop_last` a short last batch is left out, unless it is the only
    one. Without it every sample is served exactly once (no padding, so metrics stay exact), and where the last batch
    would leave a rank empty it joins the one before it: a rank without a batch would hang a collective.

    Args:
        size: number of samples.
        batch_size: samples per batch over all ranks.
        shuffle: by (seed, epoch); otherwise in order.
        drop_last: leave a short last batch out.
        seed: of the shuffling.
        rank: of this process.
        world_size: number of processes.
        lengths: (size,) of sequences, so that those of about the same length share a batch and little is padded. Shuffled
            samples are sorted within pools of 50 batches, whose order is shuffled again: who meets whom still changes.

    Raises:
        ZooError: for no samples, or a batch size that is not a positive multiple of the number of ranks.
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
    ) -> None:
        if size < world_size:
            raise ZooError(f"cannot serve {size} samples to {world_size} process(es): the split is too small")
        if batch_size < 1 or batch_size % world_size:
            raise ZooError(
                f"batch_size counts all processes together: expected a positive multiple of {world_size}, got {batch_size}"
            )
        self.size, self.shuffle, self.seed, self.rank, self.world_size = size, shuffle, seed, rank, world_size
        self.lengths = lengths
        self.epoch = 0
        self.start = 0
        self._bounds = [*range(0, size, batch_size), size]
        last = self._bounds[-1] - self._bounds[-2]
        if drop_last and last < batch_size:
            if len(self._bounds) > 2:
                self._bounds.pop()
            else:
                self._bounds[-1] = size - size % world_size  # equal shares of the only batch
        elif last < world_size:
            self._bounds.pop(-2)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch's order; a place restored within another epoch is forgotten."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[Tensor]:
        """Row numbers (B / world_size,) of this rank's share of each batch, from `start` on."""
        start, self.start = self.start, 0
        batches = list(pairwise(self._bounds))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            rows = torch.randperm(self.size, generator=generator)
            if self.lengths is not None:
                pool = _POOL * (self._bounds[1] - self._bounds[0])
                pools = torch.split(rows[: self._bounds[-1]], pool)
                rows = torch.cat([part[self.lengths[part].argsort(stable=True)] for part in pools])
                batches = [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
        else:
            rows = torch.arange(self.size) if self.lengths is None else self.lengths.argsort(stable=True)
        for low, high in batches[start:]:
            yield torch.tensor_split(rows[low:high], self.world_size)[self.rank]


class Loader:
    """What both loaders share: a length, a place that checkpoints carry, and the `sampler` Lightning tells the epoch."""

    batch_sampler = None  # Lightning takes whatever has a `sampler` for a DataLoader, and looks here

    def __init__(self, order: BatchOrder) -> None:
        self.sampler = order
        self._place = Place(epoch=order.epoch, batch=0)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        self._place = Place(epoch=self.sampler.epoch, batch=self.sampler.start)
        for batch in self._batches():
            self._place["batch"] += 1  # before the yield: a checkpoint written while this batch trains counts it as served
            yield batch

    def state_dict(self) -> Place:
        begun = self._place["epoch"] == self.sampler.epoch  # else `set_epoch` has moved on, and nothing of it is served
        return Place(epoch=self.sampler.epoch, batch=self._place["batch"] if begun else 0)

    def load_state_dict(self, state: Place) -> None:
        self._place = Place(epoch=state["epoch"], batch=state["batch"])
        self.sampler.epoch, self.sampler.start = state["epoch"], state["batch"]

    def _batches(self) -> Iterator[Any]:
        raise NotImplementedError


class TensorLoader(Loader):
    """Serves a split that lives in memory, a whole batch per index operation.

    `rows` (N,) are the places of the split's samples in `x` (M, ...) and `y` (M, ...).
    """

    def __init__(self, x: Tensor, y: Tensor, rows: Tensor, order: BatchOrder) -> None:
        super().__init__(order)
        self.x, self.y, self.rows = x, y, rows

    def _batches(self) -> Iterator[Batch]:
        for chosen in self.sampler:
            position = self.rows[chosen]
            yield Batch(self.x[position], self.y[position], position)


class SequenceLoader(Loader):
    """Serves sequences that live in memory, cut to the longest of each batch.

    `x` (M, T, ...) holds all of them, filled up, `lengths` (M,) how long they are; the rest is as in `TensorLoader`.
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
    """A split read one sample at a time: a file opened, decoded and resized."""

    def read(self, epoch: int, position: int) -> Batch:
        """One sample, its fields without the batch dimension. What it draws depends on (seed, epoch, position) alone."""


class _Keyed:
    """Lets a `DataLoader` ask for (epoch, position); the epoch travels in the key because workers are copies."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Batch | ValueError:
        try:
            return self.samples.read(*key)
        except ValueError as error:  # raised in a worker it would arrive wrapped in that worker's traceback
            return ValueError(str(error))


def _collate(samples: list[Batch | ValueError]) -> Batch | ValueError:
    return next((sample for sample in samples if isinstance(sample, ValueError)), None) or default_collate(samples)


class _Keys:
    """The order as the lists of (epoch, position) that a `DataLoader` takes for batches."""

    def __init__(self, rows: Tensor, order: BatchOrder) -> None:
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for chosen in self.order:
            yield [(self.order.epoch, position) for position in self.rows[chosen].tolist()]


class WorkerLoader(Loader):
    """Serves a split that is read sample by sample, in `num_workers` processes (0: in this one).

    It holds a `DataLoader` rather than being one: Lightning would replace a `DataLoader`'s sampler under DDP.
    """

    def __init__(self, samples: Samples, rows: Tensor, order: BatchOrder, num_workers: int = 0) -> None:
        super().__init__(order)
        self._loader: DataLoader[Batch | ValueError] = DataLoader(
            _Keyed(samples),  # type: ignore[arg-type]  # map-style, but its keys are pairs and it has no length
            batch_sampler=_Keys(rows, order),
            num_workers=num_workers,
            collate_fn=_collate,
            persistent_workers=num_workers > 0,
            generator=torch.Generator().manual_seed(0),  # else every pass draws from the global generator
        )

    def _batches(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, ValueError):
                raise ZooError(str(batch))  # `batch` itself would hold this frame, and so the workers, until they time out
            yield batch
