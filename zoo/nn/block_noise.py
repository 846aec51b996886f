"""Noise with a full covariance within square blocks of an image, which is independent between blocks.

Shapes: B batch, C channels, H height, W width, K side of a block, D = C K K values of a block.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError


class BlockNoise(nn.Module):
    """Predict each value of the noise linearly from earlier values of its block.

    The order within a block is rows, columns, channels. Regressing each value on all earlier ones is the modified Cholesky
    decomposition of a covariance matrix (Pourahmadi, 1999, Biometrika 86). The weights are the same for all blocks. They start
    at 0, which means independent noise.

    Args:
        image_shape: (C, H, W).
        block: K.

    Raises:
        ZooError: if the image does not divide into blocks.
    """

    def __init__(self, image_shape: Sequence[int], block: int) -> None:
        super().__init__()
        num_channels, height, width = image_shape
        if block < 1 or height % block or width % block:
            raise ZooError(f"an image of {height}x{width} pixels does not divide into blocks of {block}x{block}")
        num_values = num_channels * block**2
        self.block = block
        self.weight = nn.Parameter(torch.zeros(num_values, num_values))  # (D, D); only the part below the diagonal is used

    def forward(self, noise: Tensor) -> Tensor:
        """Predict noise (B, C, H, W) from earlier noise: (B, C, H, W)."""
        batch, channels, height, width = noise.shape
        k, rows, columns = self.block, height // self.block, width // self.block
        values = (
            noise.reshape(batch, channels, rows, k, columns, k).permute(0, 2, 4, 3, 5, 1).flatten(3)
        )  # (B, rows, columns, D)
        predicted = F.linear(values, self.weight.tril(-1)).view(batch, rows, columns, k, k, channels)
        return predicted.permute(0, 5, 1, 3, 2, 4).reshape(noise.shape)
