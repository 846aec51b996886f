"""What a datamodule says about its data. A datamodule of a user's own need not say anything."""

from typing import Any

from lightning import Trainer

_FACTS = ("class_names", "mean", "std", "crop", "tokenizer_json", "max_length")  # how new inputs have to be prepared


def facts_of(trainer: Trainer | None) -> dict[str, Any]:
    """The facts that travel in a checkpoint, as plain values: how new inputs have to be prepared, and the names of classes."""
    data = getattr(trainer, "datamodule", None)
    facts = {name: getattr(data, name, None) for name in _FACTS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items() if value is not None}


def num_train_batches(trainer: Trainer) -> int | None:
    """Training batches in an epoch, or None for loaders that do not come from a datamodule of ours."""
    return getattr(getattr(trainer, "datamodule", None), "num_train_batches", None)
