"""Facts that a datamodule states about its data. Reports and systems read them here only."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

from lightning import Trainer
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Files(Protocol):
    """The files that hold the samples of a data set."""

    def name(self, position: int) -> str:
        """Return the name of a sample's file."""
        ...


@dataclass(frozen=True)
class Facts:
    """Attributes of a datamodule that reports and systems read. The default stands for data that does not state the attribute.

    A position is a sample's index in the data set.
    """

    input_shape: Sequence[int] | None = None  # of one sample
    num_classes: int | None = None
    num_targets: int | None = None
    num_train_expected: int | None = None  # training samples, about, if known before the data are read
    vocab_size: int | None = None
    class_names: Sequence[str] = ()
    class_counts: Callable[[str], Tensor] | None = None  # split to the samples of each class that an epoch serves, (K,)
    texts: Sequence[str] = ()  # the text at each position
    files: Files | None = None  # the file at each position
    tokenizer: "Tokenizer | None" = None
    tokens_of: Callable[[int], list[str]] | None = None  # position to the tokens there
    decode: Callable[[Tensor], str] | None = None  # tokens to text
    stacked: bool = False  # whether each channel of an image shows an object of its own
    binarize: str | None = None  # how pixels are made 0 or 1
    centres: Tensor | None = None  # (K, 2) of a mixture of Gaussians
    spread: float | None = None  # standard deviation of each of these Gaussians
    horizon: int | None = None  # number of steps in a forecast
    mean: Sequence[float] | None = None  # of each channel, before normalisation
    std: Sequence[float] | None = None  # of each channel, before normalisation
    target_mean: Tensor | None = None  # (T,)
    target_std: Tensor | None = None
    naive_mae: Tensor | None = None  # (T,), mean absolute error of a forecast that repeats the last value
    splits: Mapping[str, Any] | None = None  # "train", "val" and "test" to an object with `rows`, positions (N,)
    loader: Callable[[str], Any] | None = None  # "train", "val" or "test" to batches before the transform
    training_part_in_order: Callable[[], AbstractContextManager[str]] | None = None  # a name that `loader` takes within it
    serves_features: bool = False  # whether the batches of the fit hold features instead of samples
    replace: Callable[[Mapping[str, Tensor]], None] | None = None  # serves features instead of samples, by part
    report: Callable[[], Sequence[str]] | None = None  # lines that describe the data, known after `setup`
    transform: Any = None  # (batch, epoch, train) to the batch that the system gets


def facts_of(data: object) -> Facts:
    """Read the facts of a datamodule. A user's own datamodule may lack any of them; without one, pass None.

    No other code guesses which attributes a datamodule has.
    """
    facts: dict[str, Any] = {field.name: getattr(data, field.name, field.default) for field in fields(Facts)}
    return Facts(**facts)


def describe_data(trainer: Trainer | None) -> dict[str, Any]:
    """Return the plain values that a checkpoint stores about its data, which are needed to prepare new inputs the same way."""
    describe = getattr(getattr(trainer, "datamodule", None), "describe", None)
    return describe() if describe is not None else {}


def data_class(trainer: Trainer | None) -> str | None:
    """Return the name under which Lightning stores the state of the datamodule in a checkpoint; None without a datamodule."""
    data = getattr(trainer, "datamodule", None)
    return None if data is None else type(data).__qualname__


def num_train_batches(trainer: Trainer) -> int | None:
    """Return the number of training batches in an epoch, or None for loaders without a datamodule of ours."""
    return getattr(getattr(trainer, "datamodule", None), "num_train_batches", None)
