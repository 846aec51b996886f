"""Triplet networks: an anchor is closer to samples of its class than to any other, by a margin.

FaceNet (Schroff, Kalenichenko & Philbin, 2015, arXiv:1503.03832) chose semi-hard triplets within a batch. Hermans, Beyer &
Leibe, 2017, arXiv:1703.07737, take the hardest ones in batches of P classes with K samples each.

Shapes: B batch.
"""

from collections.abc import Sequence

from torch import Tensor

from zoo.errors import ZooError, check_choice
from zoo.metric.conv_encoder import ConvEncoder
from zoo.nn.conv4 import WIDTHS
from zoo.nn.embedding_losses import MINING, Mining, mean_where, mine_triplets, triplet_loss
from zoo.tasks.embedding.base import Embedder
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require


class TripletEmbedder(Embedder):
    """Conv-4 trained with the triplet loss, averaged over the chosen triplets of a batch.

    `active` is the share of these triplets that cost something. With `mining: all`, it soon is small, and so are gradients.

    Args:
        embedding_dim: D.
        widths: channels of each block of the encoder.
        normalize: divide each embedding by its length.
        margin: by how much the negative has to be farther than the positive. None: soft margin, which suits embeddings of any
            length.
        mining: batch_hard, semi_hard or all; see `mine_triplets`.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        embedding_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        normalize: bool = True,
        margin: float | None = 0.2,
        mining: Mining = "batch_hard",
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape = require("input_shape", input_shape)
        if margin is not None and not margin > 0:
            raise ZooError(f"margin must be positive, or null for a soft margin, got {margin}")
        check_choice("mining", mining, MINING)
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = ConvEncoder(input_shape, embedding_dim, widths, normalize=normalize)
        self.margin, self.mining = margin, mining

    def loss(self, distance: Tensor, y: Tensor) -> tuple[Tensor, Outputs]:
        """Compute the mean over the chosen triplets: distances (B, B), classes (B,) to 0-d."""
        positive, negative, exists = mine_triplets(distance, y, self.mining)
        losses = triplet_loss(positive, negative, self.margin)
        return mean_where(losses, exists), {"active": mean_where((losses > 0).to(losses), exists)}
