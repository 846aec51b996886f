"""The boundary to the libraries: what they raise about a user's settings becomes a `ZooError` that names our setting.

Exceptions are told apart by class: Lightning's `MisconfigurationException` always is about settings. For a class that can
also mean a bug (`RuntimeError`, `ValueError`) the library's message decides. Anything else passes through with its traceback.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from zoo.errors import ZooError

# class and message of an exception about settings, and what to say to the user; {0}, {1} are the groups of the pattern
_OF_SETTINGS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        ValueError,
        r"`val_check_interval` \((\d+)\) must be less than or equal to the number of the training batches \((\d+)\)",
        "trainer.val_check_interval is {0}, but an epoch has {1} batches: choose at most {1}, or a share such as 0.5",
    ),
    (
        RuntimeError,
        r"Early stopping conditioned on metric `(.+?)` which is not available.*?following: (.*)",
        "trainer.callbacks has an EarlyStopping on {0}, which is not logged: expected one of {1}",
    ),
    (
        ValueError,
        r"Expected more than 1 value per channel when training",
        "a training batch holds a single sample, but batch normalisation needs at least 2: raise data.batch_size",
    ),
    (
        ValueError,
        r"Tried to step (\d+) times\. The total number of steps is (\d+)",
        "the one_cycle schedule was planned for {1} steps and cannot be extended: start a new run with the longer training",
    ),
    (
        RuntimeError,
        r"Error\(s\) in loading state_dict for (\w+):\s*([^\n]*)",
        "the checkpoint does not fit {0}: {1} It was made by another version of the zoo or of the class, or for other settings",
    ),
)
_CAST = r"same dtype|should be the same|expected scalar type"  # torch, of an input that was not cast as the weights were


@contextmanager
def building_trainer() -> Iterator[None]:
    """Translate errors that a `Trainer` raises when it is constructed. None of our code runs in the constructor.

    Raises:
        ZooError: instead of any error of Lightning's about the settings.
    """
    try:
        yield
    except ZooError:
        raise
    except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
        raise ZooError(f"the trainer's settings do not fit this machine, or each other: {in_one_line(error)}") from error


@contextmanager
def running(trainer: Trainer) -> Iterator[None]:
    """Translate what the libraries raise about the user's settings while a trainer fits, tests or predicts.

    Raises:
        ZooError: naming the setting, what was expected and what to do.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise ZooError(f"the trainer's settings do not fit the model or the data: {in_one_line(error)}") from error
    except (RuntimeError, ValueError) as error:
        if message := _about_settings(error, str(trainer.precision)):
            raise ZooError(message) from error
        raise


def _about_settings(error: Exception, precision: str) -> str | None:
    if isinstance(error, ZooError):
        return None
    text = str(error)
    for kind, pattern, message in _OF_SETTINGS:
        if isinstance(error, kind) and (found := re.search(pattern, text, re.DOTALL)):
            return message.format(*(group.replace("`", "").strip() for group in found.groups()))
    if precision.endswith("-true") and precision != "32-true" and re.search(_CAST, text):
        return f"trainer.precision {precision} casts the weights, but not these inputs: choose 32-true, or bf16-mixed"
    return None


def in_one_line(error: BaseException) -> str:
    """An exception's text without its line breaks."""
    return " ".join(str(error).split())
