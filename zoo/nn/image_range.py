"""The ranges of pixel values: [0, 1] in batches and pictures, [-1, 1] where a generator ends in tanh, and bytes."""

import torch
from torch import Tensor


def as_signed(x: Tensor) -> Tensor:
    """Map images (B, C, H, W) from [0, 1] to [-1, 1]; other tensors pass unchanged."""
    return 2 * x - 1 if x.ndim == 4 else x


def as_images(x: Tensor) -> Tensor:
    """Map images (B, C, H, W) from [-1, 1] to [0, 1]; other tensors pass unchanged."""
    return (x + 1) / 2 if x.ndim == 4 else x


def as_bytes(x: Tensor) -> Tensor:
    """Round pixels in [0, 1] to bytes. Values beyond become 0 and 255, where a cast alone would wrap around."""
    return (255 * x.clamp(0, 1)).round().to(torch.uint8)
