"""Encoder that all systems of this room share: Conv-4, batch norm, a linear layer, and embeddings of length 1.

Shapes: B batch, C channels, H height, W width, D embedding size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.conv4 import WIDTHS, Conv4


class ConvEncoder(nn.Module):
    """Images (B, C, H, W) to embeddings (B, D).

    Args:
        input_shape: (C, H, W). Sides need at least 2 ** len(widths) pixels.
        embedding_dim: D.
        widths: channels of each block of `Conv4`.
        normalize: divide each embedding by its length. All distances then lie in [0, 2], so that a margin has a scale.

    Raises:
        ZooError: if an argument is out of range, or the image is too small.
    """

    def __init__(
        self, input_shape: Sequence[int], embedding_dim: int, widths: Sequence[int] = WIDTHS, normalize: bool = True
    ) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ZooError(f"embedding_dim must be at least 1, got {embedding_dim}")
        self.features = Conv4(input_shape, widths)
        # Features after a ReLU are positive, so embeddings would start close together. Centred, they point in all directions.
        self.norm = nn.BatchNorm1d(self.features.num_features, affine=False)
        # Distances do not see a bias that all embeddings have in common.
        self.head = nn.Linear(self.features.num_features, embedding_dim, bias=False)
        self.normalize = normalize

    def forward(self, x: Tensor) -> Tensor:
        z = self.head(self.norm(self.features(x)))
        # In half precision, the length would be rounded to three digits.
        return F.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1) if self.normalize else z
