"""Published weights: small trained models that come with the zoo, loaded by `zoo.load(name)`."""

from pathlib import Path

from zoo.errors import ZooError
from zoo.training.checkpoint import load_system
from zoo.training.system import System

_FOLDER = Path(__file__).parent / "weights"


def published() -> list[str]:
    """Return the names that `load` accepts."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def weights_path(name: str) -> Path:
    """Return the path of the file with published weights.

    Raises:
        ZooError: if there are none with this name. The message lists the names.
    """
    if name not in published():
        raise ZooError(f"no published weights {name!r}: choose one of {', '.join(published())}")
    return _FOLDER / f"{name}.safetensors"


def load(name: str) -> System:
    """Load a trained system by the name of its published weights, in evaluation mode on the CPU.

    `zoo list` shows the names. The card next to each file states the training data and how inputs must be normalised.

    Raises:
        ZooError: if there are no weights with this name. The message lists the names.
    """
    return load_system(weights_path(name))
