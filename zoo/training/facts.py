"""What a datamodule states about its data, read in one place."""

from collections.abc import Callable, Mapping, Sequence
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
    """The attributes of a datamodule that reports and systems read, each with the value for data that does not state it.

    A position is a sample's place in the data set.
    """

    input_shape: Sequence[int] | None = None  # of one sample
    num_classes: int | None = None
    num_targets: int | None = None
    vocab_size: int | None = None
    class_names: Sequence[str] = ()
    texts: Sequence[str] = ()  # by position
    files: Files | None = None  # by position
    tokenizer: "Tokenizer | None" = None
    tokens_of: Callable[[int], list[str]] | None = None  # the tokens at a position
    decode: Callable[[Tensor], str] | None = None  # tokens to text
    stacked: bool = False  # each channel of an image shows an object of its own
    binarize: str | None = None  # how pixels are made 0 or 1
    centres: Tensor | None = None  # (K, 2) of a mixture of Gaussians
    spread: float = 0.0  # standard deviation of each of these Gaussians
    horizon: int | None = None  # steps of a forecast
    mean: Sequence[float] | None = None  # of each channel, before normalisation
    std: Sequence[float] | None = None
    target_mean: Tensor | None = None  # (T,)
    target_std: Tensor | None = None
    naive_mae: Tensor | None = None  # (T,), error of a forecast that repeats the last value
    splits: Mapping[str, Any] | None = None  # by "train", "val" and "test": what has the `rows` of each, positions (n,)
    loader: Callable[[str], Any] | None = None  # the batches of "train", "val" or "test" before the transform
    transform: Any = None  # (batch, epoch, train) to a batch


def facts_of(data: object) -> Facts:
    """Read the facts of a datamodule; a user's own, or None for plain loaders, may lack any of them.

    No other place guesses which attributes a datamodule has.
    """
    facts: dict[str, Any] = {field.name: getattr(data, field.name, field.default) for field in fields(Facts)}
    return Facts(**facts)


def describe_data(trainer: Trainer | None) -> dict[str, Any]:
    """Return what a checkpoint keeps of its data, as plain values: what new inputs need to be prepared alike."""
    describe = getattr(getattr(trainer, "datamodule", None), "describe", None)
    return describe() if describe is not None else {}


def num_train_batches(trainer: Trainer) -> int | None:
    """Return the training batches in an epoch, or None for loaders that do not come from a datamodule of ours."""
    return getattr(getattr(trainer, "datamodule", None), "num_train_batches", None)
