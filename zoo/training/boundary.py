"""Translation of library errors about a user's settings into a `ZooError` that names the setting.

Lightning's `MisconfigurationException` is always about settings. A `RuntimeError` or a `ValueError` can also be a bug, so its
message decides. Any other exception passes through with its traceback.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from zoo.errors import ZooError

# Exception class, pattern of its message, and text for the user. {0} and {1} stand for the groups of the pattern.
_SETTINGS_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        MisconfigurationException,
        r"Automatic gradient clipping is not supported for manual optimization",
        "trainer.gradient_clip_val does not fit a model with several optimizers: for a GAN, set model.clip",
    ),
    (
        MisconfigurationException,
        r"Automatic gradient accumulation is not supported for manual optimization",
        "trainer.accumulate_grad_batches does not fit a model with several optimizers: for a GAN, set model.accumulate",
    ),
    (
        MisconfigurationException,
        r"`ModelCheckpoint\(monitor='(.+?)'\)` could not find the monitored key in the returned metrics: \[(.*?)\]",
        "the best checkpoint is chosen by {0}, which the model does not log: log it in validation_step, or add a "
        "ModelCheckpoint with another monitor to trainer.callbacks (logged: {1})",
    ),
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
        "a training batch holds a single sample, or is divided into single samples, but batch normalisation needs at least 2 "
        "values for each channel: raise data.batch_size",
    ),
    (
        RuntimeError,  # of oneDNN, for fp16 and bf16 autocast on CPUs
        r"could not create a primitive descriptor for the (\w+)",
        "this processor cannot compute {0} layers in the precision of the run: set trainer.precision to 32-true",
    ),
    (
        RuntimeError,
        r"Error\(s\) in loading state_dict for (\w+):\s*([^\n]*)",
        "the checkpoint does not fit {0}: {1} It was made with other settings, or by another version of the zoo or the class",
    ),
    (
        RuntimeError,
        r"(No working C\+\+ compiler found|Failed to find C compiler|[Cc]annot find a working triton)",
        "compile does not work on this machine ({0}): install a C++ compiler such as g++ (for a GPU also Triton), or leave "
        "compile out",
    ),
)
_DTYPE_MISMATCH = r"same dtype|should be the same|expected scalar type"  # torch, if weights were cast and inputs were not


@contextmanager
def building_trainer() -> Iterator[None]:
    """Translate errors that a `Trainer` raises when it is constructed. None of our code runs in the constructor.

    Raises:
        ZooError: in place of the library's error.
    """
    try:
        yield
    except ZooError:
        raise
    except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
        raise ZooError(f"the trainer's settings do not fit this machine, or each other: {in_one_line(error)}") from error


@contextmanager
def running(trainer: Trainer) -> Iterator[None]:
    """Translate library errors about the user's settings while a trainer fits, tests or predicts.

    Raises:
        ZooError: in place of the library's error. The message names the setting, what was expected and what to do.
    """
    try:
        yield
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        if message := _translate(error, str(trainer.precision)):
            raise ZooError(message) from error
        if isinstance(error, MisconfigurationException):
            raise ZooError(f"the trainer's settings do not fit the model or the data: {in_one_line(error)}") from error
        raise


def _translate(error: Exception, precision: str) -> str | None:
    """Return the text for the user, or None if the error is not about settings."""
    if isinstance(error, ZooError):
        return None
    text = str(error)
    for kind, pattern, message in _SETTINGS_ERRORS:
        if isinstance(error, kind) and (found := re.search(pattern, text, re.DOTALL)):
            return message.format(*(group.replace("`", "").strip() for group in found.groups()))
    if precision.endswith("-true") and precision != "32-true" and re.search(_DTYPE_MISMATCH, text):
        return f"trainer.precision {precision} casts the weights, but not these inputs: choose 32-true or bf16-mixed"
    return None


def in_one_line(error: BaseException) -> str:
    """Return an exception's text without line breaks."""
    return " ".join(str(error).split())
