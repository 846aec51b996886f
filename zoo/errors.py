"""Errors whose text is written for a user: the command line prints them as one line, without a traceback.

Each says what is wrong, where, what was expected, what was found, and what to do. Every other exception that leaves our
code is a bug of ours and keeps its traceback. The subclasses also are the builtin exception that fits, for use from Python.
"""

from collections.abc import Iterable


class ZooError(ValueError):
    """A setting, a file or an argument that cannot work."""


class UsageError(ZooError):
    """A command that makes no sense: exit code 2."""


class FileError(ZooError, OSError):
    """A file that cannot be written or fetched."""


class MissingFileError(FileError, FileNotFoundError):
    """A file or folder that does not exist."""


class MissingPackageError(ZooError, ModuleNotFoundError):
    """An optional package that is not installed."""


class NonFiniteError(ZooError, FloatingPointError):
    """A loss or a weight that is NaN or infinite."""


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of `choices`.

    Raises:
        ZooError: naming the value and the choices.
    """
    if value not in (allowed := tuple(choices)):
        raise ZooError(f"unknown {what} {value!r}: choose one of {', '.join(allowed)}")
