"""The datamodule every data set shares: splits, loaders on each rank, and the transform on the device."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor

from datamodules.core.batch import SequenceBatch
from datamodules.core.loader import BatchOrder, Loader, SequenceLoader, TensorLoader
from datamodules.core.splits import stratified_split
from zoo.errors import ZooError

Transform = Callable[[Any, int, bool], Any]  # (batch, epoch, train) to a batch


class Arrays(NamedTuple):
    """A part of a data set in memory."""

    x: Tensor  # (N, ...)
    y: Tensor  # (N,) int64 or (N, T) float
    lengths: Tensor | None = None  # (N,) int64, of sequences: how much of each x counts


class Split(NamedTuple):
    """The rows of some arrays that are used for one purpose."""

    arrays: Arrays
    rows: Tensor  # (n,)


class DataModule(LightningDataModule):
    """Data that fits in memory, served in batches by index.

    A subclass sets what the data is before it loads (`input_shape`, `num_classes`, `class_names`, `mean`, `std`),
    `transform`, and `load`. Where the data set has no test part of its own, `test_fraction` is held out from the
    training part, then `val_fraction` from the rest: per class, by `split_seed` alone, so that runs with different
    `seed`s (order and augmentation) compare on the same split.

    Args:
        batch_size: samples per step over all processes together.
        seed: of order and augmentation; the `zoo` command fills it in from `seed_everything`.
    """

    input_shape: tuple[int, ...]
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    transform: Transform

    def __init__(
        self,
        batch_size: int,
        val_fraction: float = 0.1,
        test_fraction: float | None = None,
        seed: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ZooError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.val_fraction, self.test_fraction = batch_size, val_fraction, test_fraction
        self.seed, self.split_seed = seed or 0, split_seed
        self.splits: dict[str, Split] = {}

    def load(self, part: Literal["train", "test"]) -> Arrays:
        """Read one part of the data set; where it has no test part of its own, "train" is all of it."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        train = self._checked("train")
        rows = torch.arange(len(train.y))
        if self.test_fraction is None:
            test = self._checked("test")
            test_split = Split(test, torch.arange(len(test.y)))
        else:
            rows, held_out = stratified_split(train.y, self.test_fraction, self.split_seed)
            test_split = Split(train, held_out)
        fit, val = stratified_split(train.y[rows], self.val_fraction, self.split_seed)
        self.splits = {"train": Split(train, rows[fit]), "val": Split(train, rows[val]), "test": test_split}

    @property
    def num_train_batches(self) -> int:
        """Batches per epoch, the same on every rank; known after `setup`."""
        return len(self.order("train"))

    def order(self, split: str) -> BatchOrder:
        """A split's batches on this rank. Training shuffles, except while overfitting a few batches on purpose."""
        train = split == "train"
        place = getattr(self.trainer.strategy, "distributed_sampler_kwargs", None) if self.trainer else None
        arrays, rows = self.splits[split]
        return BatchOrder(
            len(rows),
            self.batch_size,
            shuffle=train and not (self.trainer and self.trainer.overfit_batches),  # type: ignore[attr-defined]
            drop_last=train,
            seed=self.seed,
            rank=place["rank"] if place else 0,
            world_size=place["num_replicas"] if place else 1,
            lengths=None if arrays.lengths is None else arrays.lengths[rows],
        )

    def loader(self, split: str) -> Loader:
        """Batches of "train", "val" or "test" before the transform."""
        (x, y, lengths), rows = self.splits[split]
        if lengths is not None:
            return SequenceLoader(x, lengths, y, rows, self.order(split))
        return TensorLoader(x, y, rows, self.order(split))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data: enough to notice that it is used with another set, or in another order."""
        return {"class_names": list(self.class_names), "order": self._order()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Called after `setup` when a checkpoint is loaded.

        Raises:
            ZooError: if the checkpoint's model knows other classes, or the same in another order; or if training would
                go on in another order of samples, where the checkpoint's place means nothing.
        """
        if state_dict["class_names"] != list(self.class_names):
            raise ZooError(
                f"the checkpoint knows the classes {_first(state_dict['class_names'])}, "
                f"but {type(self).__name__} has {_first(self.class_names)}: use the data it was trained on, or train anew"
            )

        was = state_dict["order"]
        changed = [f"{name} is {value}, was {was[name]}" for name, value in self._order().items() if value != was[name]]
        if changed and self.trainer is not None and self.trainer.state.fn == "fit":
            raise ZooError(f"cannot go on with other data settings: {'; '.join(changed)}")

    def _order(self) -> dict[str, int]:
        """What the order of the training samples depends on, beside the epoch."""
        num_samples = len(self.splits["train"].rows) if self.splits else 0
        return {"num_samples": num_samples, "batch_size": self.batch_size, "seed": self.seed, "split_seed": self.split_seed}

    def train_dataloader(self) -> Loader:
        return self.loader("train")

    def val_dataloader(self) -> Loader:
        return self.loader("val")

    def test_dataloader(self) -> Loader:
        return self.loader("test")

    def predict_dataloader(self) -> Loader:
        return self.loader("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved._replace(lengths=batch.lengths) if isinstance(batch, SequenceBatch) else moved

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert self.trainer is not None
        return self.transform(batch, self.trainer.current_epoch, self.trainer.training)

    def _checked(self, part: Literal["train", "test"]) -> Arrays:
        """Load, and refuse what would only fail later and less clearly."""
        arrays = self.load(part)
        name = f"{type(self).__name__} ({part})"
        if len(arrays.y) == 0:
            raise ZooError(f"{name} is empty: it has no samples")
        if len(arrays.x) != len(arrays.y):
            raise ZooError(f"{name} has {len(arrays.x)} samples but {len(arrays.y)} labels")
        if tuple(arrays.x.shape[1:]) != tuple(self.input_shape):
            raise ZooError(f"{name}: expected samples of shape {tuple(self.input_shape)}, got {tuple(arrays.x.shape[1:])}")
        if self.num_classes is not None:
            low, high = arrays.y.aminmax()
            if low < 0 or high >= self.num_classes:
                raise ZooError(f"{name}: labels must lie in 0..{self.num_classes - 1}, found {low}..{high}")
        return arrays


def _first(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "none"
