"""What a datamodule hands to a model."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples with one label or target each.

    Images are (B, C, H, W): uint8 from the loader, float after `transform`. Tables are (B, F) float.
    """

    x: Tensor  # (B, ...)
    y: Tensor  # (B,) int64 classes, or (B, T) float targets
    position: Tensor  # (B,) int64, place in the dataset


class SequenceBatch(NamedTuple):
    """Sequences of different lengths, each filled up at its end to the longest.

    Tokens are (B, T) int64, filled with 0; series are (B, T, C) float, filled with zeros.
    """

    x: Tensor  # (B, T) or (B, T, C)
    lengths: Tensor  # (B,) int64, from 1 to T: how many steps count. On the CPU also where the rest is not: packing reads it
    y: Tensor  # (B,) int64 classes, or float targets (B, K) or (B, horizon, K)
    position: Tensor  # (B,) int64, place in the dataset


def valid_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Which steps of x (B, T, ...) count, and do not only fill up: (B, T) bool."""
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]
