"""Autoencoder (Rumelhart, Hinton & Williams, 1986; Hinton & Salakhutdinov, 2006, Science 313).

Shapes: B batch, C channels, H height, W width, Z code size.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity
from zoo.nn.checks import check_shape
from zoo.nn.codecs import ACTIVATION, ARCHITECTURE, LATENT_DIM, WIDTHS, Architecture, decoder, trunk
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require


class AutoencoderNet(nn.Module):
    """Encoder to a code of Z numbers and a mirrored decoder: images (B, C, H, W) in [0, 1] to reconstructions.

    Args:
        input_shape: (C, H, W).
        architecture: dense layers, or convolutions that halve the image.
        widths: widths of the dense layers, or channels of the convolutions.
        hidden: width of a dense layer between convolutions and code. None: no such layer.
        activation: function after each hidden layer.
        latent_dim: Z.
        squash: end with a sigmoid. Without it outputs are unbounded; with no widths the network is then linear, like PCA.
        code: activation of the code.

    Raises:
        ZooError: if an argument is out of range, or the image is too small for the convolutions.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = LATENT_DIM,
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

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """Encode images (B, C, H, W) to codes (B, Z)."""
        check_shape(x, self.input_shape)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Decode codes (B, Z) to images (B, C, H, W)."""
        return self.output(self.decoder(z))


class Autoencoder(Reconstructor):
    """Autoencoder trained with the squared error per pixel. The default on 28x28 images is 784-256-64-256-784."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = LATENT_DIM,
        squash: bool = True,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = AutoencoderNet(
            require("input_shape", input_shape),
            architecture=architecture,
            widths=widths,
            hidden=hidden,
            activation=activation,
            latent_dim=latent_dim,
            squash=squash,
        )

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        preds = self.net(batch.x)
        return F.mse_loss(preds, batch.x), {"preds": preds, "target": batch.x}
