"""Read a user's images for a trained model, prepared like its evaluation images by the facts in the checkpoint."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from datamodules import ImageFiles
from zoo.training.checkpoint import read_checkpoint, system_of
from zoo.training.quiet import keep_quiet
from zoo.training.system import System


def load_with_facts(checkpoint: Path) -> tuple[System, dict[str, Any]]:
    """Load the system of a checkpoint, and the facts about its data that the checkpoint records."""
    keep_quiet()
    recorded = read_checkpoint(checkpoint)
    return system_of(recorded, checkpoint), recorded.get("data", {})


def own_images(images: Path, shape: Sequence[int], facts: dict[str, Any], batch_size: int = 32) -> ImageFiles:
    """Build a datamodule for an image, or for the images in a folder, with inputs of `shape` (C, size, size).

    A model that was trained on plain loaders has no facts. Its input is then the central square of each image, in [0, 1].
    """
    num_channels, size, _ = shape
    unchanged = {"crop": 1.0, "mean": [0.0] * num_channels, "std": [1.0] * num_channels}
    recorded = {name: fact for name, fact in facts.items() if name in signature(ImageFiles).parameters}
    arguments = {**unchanged, **recorded, "root": str(images), "size": size, "rgb": num_channels == 3, "batch_size": batch_size}
    return ImageFiles(**arguments)
