"""Small trained models that come with the zoo: `zoo.load(name)`."""

from pathlib import Path

from zoo.errors import ZooError
from zoo.training.checkpoint import load_system
from zoo.training.system import System

_FOLDER = Path(__file__).parent / "weights"


def published() -> list[str]:
    """The names that `load` knows."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def weights_path(name: str) -> Path:
    """The file of published weights.

    Raises:
        ZooError: for a name that is not published, with those that are.
    """
    if name not in published():
        raise ZooError(f"no published weights {name!r}: there is {', '.join(published())}")
    return _FOLDER / f"{name}.safetensors"


def load(name: str) -> System:
    """A trained system by the name of its published weights, in evaluation mode on the CPU.

    `zoo list` shows the names; the card beside each file says what it was trained on, and how its inputs were normalised.

    Raises:
        ZooError: for a name that is not published, with those that are.
    """
    return load_system(weights_path(name))
