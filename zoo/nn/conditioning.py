"""How a class label enters a generator and a discriminator.

Shapes: B batch, Z latent dimension, F features, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError


def append_class(z: Tensor, y: Tensor | None, num_classes: int | None) -> Tensor:
    """Append classes y (B,) to noise (B, Z) as one-hot vectors: (B, Z + K). Without `num_classes`, return the noise.

    Raises:
        ZooError: if classes are needed but missing.
    """
    if num_classes is None:
        return z
    if y is None:
        raise ZooError("a conditional generator needs the classes to draw from")
    return torch.cat([z, F.one_hot(y, num_classes).to(z.dtype)], dim=1)


def projection_logits(features: Tensor, head: nn.Module, embedding: nn.Module | None, y: Tensor | None) -> Tensor:
    """Compute logits (B,) from features (B, F), plus the features' product with the embedding of their classes y (B,).

    Miyato & Koyama, 2018, arXiv:1802.05637, equation 3. Without an embedding, only the head counts.

    Raises:
        ZooError: if classes are needed but missing.
    """
    logits: Tensor = head(features).squeeze(1)
    if embedding is None:
        return logits
    if y is None:
        raise ZooError("a conditional discriminator needs the classes of its samples")
    return logits + (embedding(y) * features).sum(1)
