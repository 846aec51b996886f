"""Batches that datamodules hand to models."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples with one label or target each.

    Images are (B, C, H, W): uint8 from the loader, float after `transform`. Tables are (B, F) float.
    """

    x: Tensor  # (B, ...)
    y: Tensor  # (B,) int64 classes, (B, K) float probabilities of mixed images' classes, or (B, T) float targets
    position: Tensor  # (B,) int64, index in the data set


class SequenceBatch(NamedTuple):
    """Sequences of different lengths, padded at the end to the longest.

    Tokens are (B, T) int64, padded with 0. Series are (B, T, C) float, padded with zeros.
    """

    x: Tensor  # (B, T) or (B, T, C)
    lengths: Tensor  # (B,) int64 from 1 to T, steps that count. Stays on the CPU, because packing reads it there
    y: Tensor  # (B,) int64 classes, or float targets (B, K) or (B, horizon, K)
    position: Tensor  # (B,) int64, index in the data set


def valid_steps(x: Tensor, lengths: Tensor) -> Tensor:
    """Mark the steps of x (B, T, ...) that are not padding: (B, T) bool."""
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]
