"""What a datamodule hands to a model."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Samples with one label or target each.

    Images are (B, C, H, W): uint8 from the loader, float after `transform`. Tables are (B, F) float.
    """

    x: Tensor  # (B, ...)
    y: Tensor  # (B,) int64 classes, or (B, T) float targets
    position: Tensor  # (B,) int64, place in the dataset
