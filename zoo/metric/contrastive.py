"""Siamese network with the contrastive loss.

Hadsell, Chopra & LeCun, 2006, Dimensionality reduction by learning an invariant mapping.
Both images of a pair go through the same network. Here the pairs are those within a batch, so that each image is embedded once.

Shapes: B batch.
"""

from collections.abc import Sequence

from torch import Tensor

from zoo.errors import ZooError
from zoo.metric.conv_encoder import ConvEncoder
from zoo.nn.conv4 import WIDTHS
from zoo.nn.embedding_losses import contrastive_loss, mean_where, other_class, same_class
from zoo.tasks.embedding.base import Embedder
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require


class ContrastiveEmbedder(Embedder):
    """Conv-4 trained with the contrastive loss on the pairs of a batch.

    The mean over similar pairs and the mean over the dissimilar ones that are closer than the margin count half each, as if
    both kinds were drawn equally often. Over all pairs, the few similar ones would hardly count (3 of 63 for an image in a
    batch of 16 classes with 4 samples), nor would the few dissimilar ones that still cost something. `active` is their share.

    Args:
        embedding_dim: D.
        widths: channels of each block of the encoder.
        normalize: divide each embedding by its length.
        margin: distance from which on dissimilar pairs cost nothing. It must be below 2 for embeddings of length 1, which are
            never farther apart.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        embedding_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        normalize: bool = True,
        margin: float = 1.0,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape = require("input_shape", input_shape)
        if not margin > 0:
            raise ZooError(f"margin must be positive, got {margin}")
        if normalize and not margin < 2:
            raise ZooError(f"margin must be below 2, the largest distance of embeddings of length 1, got {margin}")
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = ConvEncoder(input_shape, embedding_dim, widths, normalize=normalize)
        self.margin = margin

    def loss(self, distance: Tensor, y: Tensor) -> tuple[Tensor, Outputs]:
        """Compute the mean over both kinds of pairs: distances (B, B), classes (B,) to 0-d."""
        similar, other = same_class(y), other_class(y)
        losses, close = contrastive_loss(distance, similar, self.margin), other & (distance < self.margin)
        pulled, pushed = mean_where(losses, similar), mean_where(losses, close)
        active = mean_where(close.to(losses), other)
        return (pulled + pushed) / 2, {"pulled": pulled, "pushed": pushed, "active": active}
