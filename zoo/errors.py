"""Errors whose text is written for users. The command line prints them as one line, without a traceback.

A message says what is wrong and where, what was expected, what was found, and what to do. Any other exception is a bug in the
zoo and keeps its traceback. Each subclass is also the matching builtin exception, so that Python code can catch either.
"""

from collections.abc import Iterable


class ZooError(ValueError):
    """A setting, a file or an argument that cannot work."""


class UsageError(ZooError):
    """A command whose arguments contradict each other or are incomplete. The exit code is 2."""


class FileError(ZooError, OSError):
    """A file that cannot be written or fetched."""


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder that does not exist."""


class MissingPackageError(ZooError, ModuleNotFoundError):
    """An optional package that is not installed."""


class NonFiniteError(ZooError, FloatingPointError):
    """A loss or a weight that is NaN or infinite."""


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Check that a value is one of `choices`; `what` names the setting in the message.

    Raises:
        ZooError: if it is not. The message lists the choices.
    """
    if value not in (allowed := tuple(choices)):
        raise ZooError(f"unknown {what} {value!r}: choose one of {', '.join(allowed)}")
