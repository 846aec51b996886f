"""Denoising autoencoder (Vincent, Larochelle, Bengio & Manzagol, 2008; 2010, JMLR 11).

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.errors import ZooError, check_choice
from zoo.nn.activations import Activation
from zoo.nn.codecs import ACTIVATION, ARCHITECTURE, LATENT_DIM, WIDTHS, Architecture
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

Noise = Literal["gaussian", "masking", "salt_and_pepper"]


def corrupt(x: Tensor, noise: Noise, level: float) -> Tensor:
    """Add noise to images (B, C, H, W) in [0, 1]. The result stays in [0, 1].

    - "gaussian": add normal noise with standard deviation `level`, then clip.
    - "masking": set each pixel to black in all channels with probability `level`.
    - "salt_and_pepper": set each pixel to black or white, equally likely, with total probability `level`.
    """
    if noise == "gaussian":
        return (x + level * torch.randn_like(x)).clamp(0, 1)
    draw = torch.rand_like(x[:, :1])  # one number per pixel, shared by its channels
    if noise == "masking":
        return torch.where(draw < level, 0, x)
    return torch.where(draw < level, (draw < level / 2).to(x.dtype), x)


class DenoisingAutoencoder(Reconstructor):
    """Autoencoder that reads noisy images and is trained with the squared error to the clean ones.

    Metrics also compare with the clean images. `noisy_psnr` is the PSNR of the noisy inputs, in dB, as a baseline.

    Args:
        noise: type of noise.
        level: standard deviation of "gaussian" noise, probability per pixel for the others.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        noise: Noise = "gaussian",
        level: float = 0.3,
        architecture: Architecture = ARCHITECTURE,
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = ACTIVATION,
        latent_dim: int = LATENT_DIM,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        check_choice("noise", noise, get_args(Noise))
        if level <= 0 or (noise != "gaussian" and level >= 1):
            raise ZooError(f"level must be positive, and below 1 if it is a probability, got {level}")
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.noise, self.level = noise, level
        self.net = AutoencoderNet(
            require("input_shape", input_shape),
            architecture=architecture,
            widths=widths,
            hidden=hidden,
            activation=activation,
            latent_dim=latent_dim,
        )

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        noisy = self.corrupt(batch.x)
        preds = self.net(noisy)
        # an image may come out unchanged, so the error is kept above 0
        error = (noisy - batch.x).square().flatten(1).mean(1).clamp(min=1e-10)
        outputs = {"preds": preds, "target": batch.x, "noisy_psnr": -10 * error.log10().mean()}
        return F.mse_loss(preds, batch.x), outputs

    def corrupt(self, x: Tensor) -> Tensor:
        """Add the configured noise to images (B, C, H, W)."""
        return corrupt(x, self.noise, self.level)
