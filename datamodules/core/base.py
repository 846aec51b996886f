"""Base class of all datamodules: facts, splits, loaders per process, and the transform on the device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol

import torch
from lightning import LightningDataModule
from torch import Tensor

from datamodules.core.batch import SequenceBatch
from datamodules.core.class_batches import ClassBatches
from datamodules.core.classes import describe_classes
from datamodules.core.loader import BatchOrder, FeatureLoader, Loader, SequenceLoader, TensorLoader
from datamodules.core.seen import NUM_KEPT, Seen, count_common, identities_of_rows, thin
from datamodules.core.splits import check_shares, hold_out, stratified_split
from zoo.errors import ZooError

Transform = Callable[[Any, int, bool], Any]  # (batch, epoch, train) -> batch
# Facts that new inputs need in order to be prepared as the training data were.
_PREPARATION = ("class_names", "mean", "std", "crop", "squeeze", "interpolation", "binarize", "tokenizer_json", "max_length")
# Parts that each function of the trainer scores, or whose scores choose the checkpoint.
_SCORED = {"fit": ("val", "test"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class Arrays(NamedTuple):
    """A part of a data set in memory."""

    x: Tensor  # (N, ...)
    y: Tensor  # (N,) int64 or (N, T) float
    lengths: Tensor | None = None  # (N,) int64, for sequences: how many steps of each x count


class Split(NamedTuple):
    """The rows of some arrays that serve one purpose."""

    arrays: Arrays
    rows: Tensor  # (n,)


class NamedSamples(Protocol):
    """Samples that have names, such as files."""

    def name(self, position: int) -> str:
        """Return the name that errors and tables of predictions use."""


class DataModule(LightningDataModule):
    """Data that fits in memory, served in batches by index.

    Names, shapes and classes are known after construction. `prepare_data` fetches missing files; Lightning calls it in one
    process per node. `setup` reads the data, and also fetches what is missing if it is called alone.

    A subclass sets the facts below that apply, `transform`, and `load`. If the data set has no test part of its own,
    `test_fraction` of the training part is held out for the test, then `val_fraction` of the rest for validation. Both are
    stratified by class and depend on `split_seed` alone, so that runs with different `seed`s (order and augmentation) compare
    on the same split.

    Args:
        batch_size: samples per step, over all processes together.
        seed: of order and augmentation; the `zoo` command fills it in from `seed_everything`.
        classes_per_batch: compose training batches of this number of classes instead, for losses that compare samples. Then
            `batch_size` is that of evaluation.
        samples_per_class: samples from each of these classes.

    Raises:
        ZooError: if `batch_size` is less than 1, if only one of the last two is given, or if one of them is less than 2.
    """

    # Facts that models and reports read. None or empty means that the fact does not apply.
    input_shape: tuple[int, ...]  # of one sample, without the batch dimension
    class_names: tuple[str, ...] = ()
    classes_by_name: bool = False  # whether `setup` numbers classes by their places in `class_names`
    num_classes: int | None = None
    balance: bool | None = None  # whether training serves all classes equally often; None if the set does not offer it
    num_targets: int | None = None  # for regression
    target_names: tuple[str, ...] = ()
    target_mean: Tensor | None = None  # (num_targets,), of the training rows; known after `setup`
    target_std: Tensor | None = None  # (num_targets,), of the training rows; known after `setup`
    naive_mae: Tensor | None = None  # (num_targets,), of the forecast that repeats the last value; known after `setup`
    horizon: int | None = None  # forecast steps
    mean: tuple[float, ...] | None = None  # per channel or feature, subtracted from inputs
    std: tuple[float, ...] | None = None  # per channel or feature, by which inputs are divided
    crop: float | None = None  # share of an image's shorter side that evaluation sees
    squeeze: bool | None = None  # whether evaluation sees whole images, resized to squares
    interpolation: str | None = None  # how images are resized
    binarize: str | None = None  # how pixels become 0 or 1
    num_train_expected: int | None = None  # training samples, about, if known at construction
    stacked: bool = False  # whether each channel is an image of its own
    vocab_size: int | None = None
    max_length: int | None = None  # tokens after which a text is cut
    tokenizer: Any = None  # a `tokenizers.Tokenizer`
    texts: Sequence[str] = ()  # by position; known after `setup`
    files: NamedSamples | None = None  # by position
    centres: Tensor | None = None  # (K, 2), of a mixture of Gaussians
    spread: float | None = None  # standard deviation of each Gaussian
    transform: Transform

    def __init__(
        self,
        batch_size: int,
        val_fraction: float = 0.1,
        test_fraction: float | None = None,
        seed: int | None = None,
        split_seed: int = 0,
        classes_per_batch: int | None = None,
        samples_per_class: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ZooError(f"batch_size must be at least 1, got {batch_size}")
        _check_composition(classes_per_batch, samples_per_class)
        self.classes_per_batch, self.samples_per_class = classes_per_batch, samples_per_class
        self.batch_size, self.val_fraction, self.test_fraction = batch_size, val_fraction, test_fraction
        self.seed, self.split_seed = seed or 0, split_seed
        self.splits: dict[str, Split] = {}
        self.notes: list[str] = []  # lines of `report`: where the data come from, what is left out and why
        self._seen: Seen | None = None  # identities of the samples of these splits
        self._replaced: dict[str, Tensor] = {}  # by part, served instead of samples
        self._trained_on: list[int] = []  # identities of training samples, from a checkpoint

    @property
    def tokenizer_json(self) -> str | None:
        """The tokenizer in the format of the `tokenizers` library; None without texts."""
        return None

    @property
    def num_train_batches(self) -> int:
        """Batches per epoch, the same in every process; known after `setup`."""
        return len(self.order("train"))

    def describe(self) -> dict[str, Any]:
        """Return the facts that new inputs need, as plain builtins for the checkpoint; facts that do not apply are left out."""
        facts = {name: getattr(self, name) for name in _PREPARATION}
        return {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in facts.items() if fact is not None}

    def report(self) -> list[str]:
        """Describe the data in a few lines for the user: sizes of the splits, classes with their counts, and `notes`.

        Available after `setup`. A run prints it before training. A subclass appends to `notes` what it leaves out and why.
        """
        sizes = ", ".join(f"{len(self.splits[part].rows):,} {part}" for part in ("train", "val", "test") if part in self.splits)
        lines = [f"{type(self).__name__}: {sizes} samples"]
        if self.class_names:
            y = torch.cat([split.arrays.y[split.rows] for split in self.splits.values()])
            lines += describe_classes(
                self.class_names, torch.bincount(y, minlength=len(self.class_names)).tolist(), self.balance
            )
        return lines + self.notes

    def load(self, part: Literal["train", "test"]) -> Arrays:
        """Read one part of the data set. If the set has no test part of its own, "train" is all of it."""
        raise NotImplementedError(f"{type(self).__name__} has to define load(part) -> Arrays")

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        train = self._checked("train")
        if self.test_fraction is None:
            test = self._checked("test")
            fit, val = stratified_split(train.y, self.val_fraction, self.split_seed)
            self.splits = {"train": Split(train, fit), "val": Split(train, val), "test": Split(test, torch.arange(len(test.y)))}
        else:
            everything = Split(train, torch.arange(len(train.y)))
            parts = self.complete({"train": everything.rows}, everything)
            self.splits = {part: Split(train, rows) for part, rows in parts.items()}

    def complete(self, parts: Mapping[str, Tensor], samples: Split, groups: Tensor | None = None) -> dict[str, Tensor]:
        """Return the rows of all parts, given those that the set has: missing ones are held out from "train".

        Without a test part of their own, `samples` that are new to a checkpoint are all tested.

        Args:
            parts: rows of "train", and of "val" and "test" if the set has them.
            samples: all samples.
            groups: (N,) numbers; rows with equal numbers stay together, as in `stratified_split`.

        Raises:
            ZooError: if a class has too few samples for each part to get one, or if a part would be empty.
        """
        assert self.test_fraction is not None
        if "test" not in parts and self.is_new(samples):
            return {"test": samples.rows}
        fractions = {"test": self.test_fraction, "val": self.val_fraction}
        y, held_out = samples.arrays.y, [part for part in fractions if part not in parts]
        if self.class_names and "train" in parts:
            rows = parts["train"]
            check_shares(y[rows], self.class_names, held_out, None if groups is None else groups[rows])
        return hold_out(y, parts, fractions, self.split_seed, groups)

    def order(self, split: str) -> BatchOrder:
        """Return the order of a split's batches in this process.

        Training is shuffled, except with `overfit_batches`, where the same few batches are wanted.
        """
        train = split == "train"
        place = getattr(self.trainer.strategy, "distributed_sampler_kwargs", None) if self.trainer else None
        arrays, rows = self.splits[split]
        shuffle = train and not (self.trainer and self.trainer.overfit_batches)  # type: ignore[attr-defined]  # set by Lightning
        rank, world_size = (place["rank"], place["num_replicas"]) if place else (0, 1)
        if train and self.classes_per_batch is not None and self.samples_per_class is not None:
            return ClassBatches(
                arrays.y[rows],
                self.classes_per_batch,
                self.samples_per_class,
                shuffle=shuffle,
                seed=self.seed,
                rank=rank,
                world_size=world_size,
            )
        return BatchOrder(
            len(rows),
            self.batch_size,
            shuffle=shuffle,
            drop_last=train,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            lengths=None if arrays.lengths is None else arrays.lengths[rows],
            classes=arrays.y[rows] if train and self.balance else None,
        )

    def class_counts(self, split: str) -> Tensor:
        """Return how many samples of each class an epoch of a split serves, (K,)."""
        arrays, rows = self.splits[split]
        counts = torch.bincount(arrays.y[rows], minlength=self.num_classes or 0)
        if split == "train" and (self.balance or self.classes_per_batch is not None):
            return torch.where(counts > 0, len(rows) / (counts > 0).sum(), 0.0)
        return counts

    def loader(self, split: str) -> Loader:
        """Return the batches of "train", "val" or "test" before the transform."""
        (x, y, lengths), rows = self.splits[split]
        if lengths is not None:
            return SequenceLoader(x, lengths, y, rows, self.order(split))
        return TensorLoader(x, y, rows, self.order(split))

    @contextmanager
    def training_part_in_order(self) -> Iterator[str]:
        """Within this context, `loader` takes the name that is yielded for the whole training part, served as in evaluation."""
        name = "train in order"
        self.splits[name] = self.splits["train"]
        try:
            yield name
        finally:
            del self.splits[name]

    def replace(self, features: Mapping[str, Tensor]) -> None:
        """Serve features instead of samples in a fit, for example those of a frozen network.

        Args:
            features: by part, (n, F), one row for each sample in the order of the part's rows. Empty: serve samples again.
        """
        self._replaced = dict(features)

    def adopt(self, facts: Mapping[str, Any]) -> None:
        """Prepare the data like those of a checkpoint, which `facts` describe. Called before `setup`.

        If a file lacks some of the checkpoint's classes, the others keep the numbers that they have in the checkpoint.
        """
        known = tuple(facts.get("class_names", ()))
        if self.classes_by_name and set(self.class_names) < set(known):
            self.class_names, self.num_classes = known, len(known)

    def recognise(self, state_dict: dict[str, Any]) -> None:
        """Prepare for the evaluation of a checkpoint, given the state of its data. Called before `setup`.

        Data that the model was not trained on are not split: all samples become the test part. Data with a test part of their
        own are tested on that part.
        """
        self._trained_on = state_dict.get("seen", {}).get("trained_on", [])

    def is_new(self, *samples: Split) -> bool:
        """Return whether a checkpoint was trained on other data: fewer than half of its samples are among these."""
        return bool(self._trained_on) and 2 * self.num_seen(*samples) < len(self._trained_on)

    def num_seen(self, *samples: Split) -> int:
        """Count how many of the samples that a checkpoint remembers are among these."""
        return count_common(self._trained_on, chain.from_iterable(map(self.identify, samples)))

    def identify(self, samples: Split, most: int | None = None) -> list[int]:
        """Return a number for each sample, or for `most` of them. It depends on the sample's content alone."""
        (x, y, _), rows = samples
        rows = thin(rows, most)
        return identities_of_rows(x[rows], y[rows])

    def tokens_of(self, position: int) -> list[str] | None:
        """Return a text as the model sees it, token by token; None if the data are not tokenised texts."""
        return None

    def decode(self, tokens: Tensor) -> str:
        """Return the text that tokens (N,) stand for; data without a text return the numbers."""
        return " ".join(map(str, tokens.tolist()))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the data: enough to detect other classes, another order or another split."""
        if self._seen is None and "train" in self.splits:
            self._seen = self._remember()
        state = {"class_names": list(self.class_names), "order": self._order(), "split": self._split_settings()}
        return state if self._seen is None else {**state, "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with the data of a checkpoint. Lightning calls this after `setup` when it loads one.

        Raises:
            ZooError: if the classes of the checkpoint differ in name or order, or if the samples to be scored include its
                training samples. Also if training would continue with another order of samples, in which the checkpoint's
                position within the epoch has no meaning.
        """
        if state_dict["class_names"] != list(self.class_names):
            raise ZooError(
                f"the checkpoint has the classes {first_names(state_dict['class_names'])}, "
                f"but {type(self).__name__} has {first_names(self.class_names)}: use the data it was trained on, or train anew"
            )

        # Checkpoints of earlier versions lack these settings.
        was = {"balance": False, "classes_per_batch": None, "samples_per_class": None, **state_dict["order"]}
        changed = [f"{name} is {value}, was {was[name]}" for name, value in self._order().items() if value != was[name]]
        if changed and self.trainer is not None and self.trainer.state.fn == "fit":
            raise ZooError(f"cannot go on with other data settings: {'; '.join(changed)}")
        if "seen" in state_dict and self.trainer is not None:  # Checkpoints of earlier versions have no `seen`.
            self._check_unseen(state_dict)

    def _remember(self) -> Seen:
        # Equal samples count once, as in `count_common`. Otherwise the training data themselves would look new.
        trained_on = [*dict.fromkeys(self.identify(self.splits["train"], NUM_KEPT))]
        held_out = {part: self.identify(split) for part, split in self.splits.items() if part != "train"}
        return Seen(trained_on=trained_on, repeated={part: count_common(trained_on, of) for part, of in held_out.items()})

    def _check_unseen(self, state_dict: dict[str, Any]) -> None:
        """Raise if training samples of the checkpoint would be scored, except those that its own test part repeats.

        Also raise if new data, which are not split, would be validated.
        """
        assert self.trainer is not None
        assert self.trainer.state.fn is not None
        self.recognise(state_dict)
        seen = state_dict["seen"]
        for part in _SCORED[self.trainer.state.fn.value]:
            if part not in self.splits:
                raise ZooError(
                    f"{type(self).__name__} has no {part} split, because its data are new to the checkpoint: "
                    "use zoo test, which reads all of them"
                )
            found = self.num_seen(self.splits[part])
            # Other data may have a few samples in common with the training data.
            if found <= seen["repeated"][part] or self.is_new(*self.splits.values()):
                continue
            was, now = state_dict["split"], self._split_settings()
            changed = [f"{name} is {value}, was {was[name]}" for name, value in now.items() if value != was[name]]
            raise ZooError(
                f"the {part} split of {type(self).__name__} holds {found / len(seen['trained_on']):.0%} of the samples that "
                f"the checkpoint was trained on, because {'; '.join(changed) or 'the data have changed'}: use the data and "
                "the split of its run, or a source that holds only new samples"
            )

    def _split_settings(self) -> dict[str, Any]:
        """Return the settings that decide which samples are in which split."""
        return {"split_seed": self.split_seed, "val_fraction": self.val_fraction, "test_fraction": self.test_fraction}

    def _order(self) -> dict[str, Any]:
        """Return what the order of the training samples depends on, besides the epoch."""
        num_samples = len(self.splits["train"].rows) if "train" in self.splits else 0
        return {
            "num_samples": num_samples,
            "batch_size": self.batch_size,
            "balance": bool(self.balance),
            "classes_per_batch": self.classes_per_batch,
            "samples_per_class": self.samples_per_class,
            "seed": self.seed,
            "split_seed": self.split_seed,
        }

    def train_dataloader(self) -> Loader:
        return self._samples_or_features("train")

    def val_dataloader(self) -> Loader:
        return self._samples_or_features("val")

    def test_dataloader(self) -> Loader:
        return self.loader("test")

    def predict_dataloader(self) -> Loader:
        return self.loader("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved._replace(lengths=batch.lengths) if isinstance(batch, SequenceBatch) else moved

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        assert self.trainer is not None
        if not self.serves_features:
            batch = self.transform(batch, self.trainer.current_epoch, self.trainer.training)
        # Lightning casts a batch before the transform, which computes in fp32.
        return self.trainer.precision_plugin.convert_input(batch) if self.trainer.precision == "64-true" else batch

    @property
    def serves_features(self) -> bool:
        """Whether the batches of the current fit hold features instead of samples."""
        return bool(self._replaced) and self.trainer is not None and self.trainer.state.fn == "fit"

    def _samples_or_features(self, part: str) -> Loader:
        if not self.serves_features:
            return self.loader(part)
        arrays, rows = self.splits[part]
        return FeatureLoader(self._replaced[part], arrays.y, rows, self.order(part))

    def _checked(self, part: Literal["train", "test"]) -> Arrays:
        """Load a part, and refuse what would fail later with a less clear error."""
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


def _check_composition(classes_per_batch: int | None, samples_per_class: int | None) -> None:
    """Refuse batches by class in which no samples could be compared."""
    if (classes_per_batch is None) != (samples_per_class is None):
        raise ZooError(
            f"classes_per_batch is {classes_per_batch} and samples_per_class is {samples_per_class}: set both, or neither"
        )
    for name, value in (("classes_per_batch", classes_per_batch), ("samples_per_class", samples_per_class)):
        if value is not None and value < 2:
            raise ZooError(f"{name} must be at least 2, so that a batch has pairs to compare, got {value}")


def first_names(names: Sequence[str], most: int = 5) -> str:
    """List the first names in one line, or "none"."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "none"
