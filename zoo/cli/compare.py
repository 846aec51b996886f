"""Check that a configuration fits a checkpoint."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import LightningDataModule

from datamodules.core.base import DataModule
from zoo.errors import ZooError
from zoo.public import public_name


def check_against_checkpoint(model_class: type, arguments: Namespace, checkpoint: dict[str, Any], path: Path | str) -> None:
    """Refuse a configuration with another model than the one in the checkpoint.

    Lightning would load the weights into it, or silently use the values in the checkpoint
    (https://github.com/Lightning-AI/pytorch-lightning/issues/21455).

    Raises:
        ZooError: if the class or an argument differs; lists all differences.
    """
    wanted = public_name(model_class)
    held = checkpoint.get("class_path", wanted)
    if held != wanted:
        raise ZooError(f"{path} holds a {held}, but the configuration asks for a {wanted}: use the config.yaml of its run")
    values = arguments.as_dict()
    differing = [
        f"{name} is {_plain(values[name])}, was {_plain(value)}"
        for name, value in checkpoint.get("hyper_parameters", {}).items()
        if name in values and _plain(values[name]) != _plain(value)
    ]
    if differing:
        raise ZooError(
            f"the model differs from {path}: {'; '.join(differing)}. Use the config.yaml of the checkpoint's run, or train anew"
        )


def check_classes(data: LightningDataModule, checkpoint: dict[str, Any], path: Path | str) -> None:
    """Refuse data whose classes differ in name or order from those in the checkpoint.

    Raises:
        ZooError: if they differ; names the first class that differs.
    """
    known, found = checkpoint.get("data", {}).get("class_names", []), []
    if isinstance(data, DataModule):  # datamodules of users need not name their classes
        found = list(data.class_names)
    if known and found and known != found:
        number = next((i for i, (a, b) in enumerate(zip(known, found, strict=False)) if a != b), min(len(known), len(found)))
        was, now = (names[number] if number < len(names) else "missing" for names in (known, found))
        raise ZooError(
            f"{path} knows {len(known)} classes, {type(data).__name__} has {len(found)}: class {number} is {now}, was {was}. "
            "Use the data it was trained on, or train anew"
        )


def check_preparation(data: LightningDataModule, checkpoint: dict[str, Any], path: Path | str) -> None:
    """Raise if the data prepare inputs differently from those that the checkpoint was trained on.

    Facts that are known only after `setup`, such as the scale of a table, are taken from the checkpoint instead. Without
    `binarize`, pixels are grey.

    Raises:
        ZooError: if a fact that is known before `setup` differs. The error lists all differences.
    """
    known, facts = checkpoint.get("data", {}), data.describe() if isinstance(data, DataModule) else {}
    differing = [
        f"{name} is {facts.get(name)}, was {was}"
        for name, was in known.items()
        if name not in ("class_names", "tokenizer_json") and facts.get(name, None if name == "binarize" else was) != was
    ]
    if differing:
        raise ZooError(
            f"{path} was trained on inputs that were prepared differently: {'; '.join(differing)}. "
            "Use the data settings of its run, or train anew"
        )


def check_can_continue(checkpoint: dict[str, Any], path: Path, trainer: Namespace, finished: bool, ema: float | None) -> None:
    """Refuse to resume a run that is complete, or whose average would be lost.

    Args:
        checkpoint: the checkpoint to resume from.
        path: the file of the checkpoint, for the message.
        trainer: the current trainer settings.
        finished: whether the run was tested at the end; if not, it can be resumed to run the test.
        ema: the current decay of the average of the weights.

    Raises:
        ZooError: if the run cannot be resumed; says what to change.
    """
    if "loops" not in checkpoint:
        raise ZooError(f"{path} holds a model, but no optimizer state to continue from: choose another checkpoint of the run")
    if "ema" in checkpoint and ema is None:
        raise ZooError(f"{path} was trained with ema: resume it with ema, or start a new run")
    loop, end = checkpoint["loops"]["fit_loop"], trainer.max_epochs
    in_epoch = not loop["epoch_loop.batch_progress"]["is_last_batch"]
    done = loop["epoch_progress"]["current"]["started"] - in_epoch
    counts = {"epochs": (done, -1 if end is None else end), "steps": (checkpoint["global_step"], trainer.max_steps)}
    for unit, (done, end) in counts.items():
        if end >= 0 and (end < done or (end == done and finished)):
            raise ZooError(f"{path} has trained {done} {unit}, and trainer.max_{unit} is {end}: choose more than {done}")


def _plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
