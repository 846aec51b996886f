"""Autoencoder (Rumelhart, Hinton & Williams, 1986; Hinton & Salakhutdinov, 2006, Science 313): images through a narrow code.

Shapes: B batch, C H W image, Z code.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity
from zoo.nn.checks import check_shape
from zoo.nn.codecs import Architecture, decoder, trunk
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

WIDTHS = (256,)


class AutoencoderNet(nn.Module):
    """An encoder to Z numbers and its mirror image back: (B, C, H, W) in [0, 1] to the same.

    Args:
        input_shape: (C, H, W).
        architecture: dense layers, or convolutions that halve the image.
        widths: of the hidden layers, or channels of the convolutions; none and `squash` false is a linear autoencoder.
        hidden: units of a dense layer between the convolutions and the code, if any.
        activation: after each layer but the last.
        latent_dim: Z.
        code: activation of the code itself.
        squash: end in a sigmoid. Without it the output is any number, as PCA's is.

    Raises:
        ZooError: for a code of no numbers, or an image too small for its convolutions.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        architecture: Architecture = "mlp",
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = "relu",
        latent_dim: int = 64,
        squash: bool = True,
        code: Activation = "identity",
    ) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ZooError(f"latent_dim must be at least 1, got {latent_dim}")
        self.input_shape = tuple(input_shape)
        layers, num_features = trunk(architecture, input_shape, widths, hidden, activation)
        self.encoder = nn.Sequential(*layers, nn.Linear(num_features, latent_dim), nonlinearity(code))
        self.decoder = decoder(architecture, latent_dim, widths, input_shape, hidden, activation)
        self.output = nn.Sigmoid() if squash else nn.Identity()

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, Z)."""
        check_shape(x, self.input_shape)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """(B, Z) to (B, C, H, W)."""
        return self.output(self.decoder(z))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Autoencoder(Reconstructor):
    """Trained by the squared error per pixel; 784-256-64 and back on 28x28 images."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "mlp",
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = "relu",
        latent_dim: int = 64,
        squash: bool = True,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = AutoencoderNet(
            require("input_shape", input_shape), architecture, widths, hidden, activation, latent_dim, squash
        )

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        preds = self.net(batch.x)
        return F.mse_loss(preds, batch.x), {"preds": preds, "target": batch.x}
