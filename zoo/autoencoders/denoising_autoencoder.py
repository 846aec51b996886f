"""Denoising autoencoder (Vincent, Larochelle, Bengio & Manzagol, 2008; 2010, JMLR 11): the clean image from a noisy one.

Shapes: B batch, C H W image, Z code.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.autoencoders.autoencoder import WIDTHS, AutoencoderNet
from zoo.errors import ZooError, check_choice
from zoo.nn.activations import Activation
from zoo.nn.codecs import Architecture
from zoo.tasks.reconstruction.base import Reconstructor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require

Noise = Literal["gaussian", "masking", "salt_and_pepper"]


def corrupt(x: Tensor, noise: Noise, level: float) -> Tensor:
    """Damage images (B, C, H, W) in [0, 1]; what comes out lies in [0, 1] as well.

    "gaussian" adds noise of deviation `level` and clips; "masking" blackens a share `level` of the pixels, in all channels;
    "salt_and_pepper" makes such a share black or white, as likely.
    """
    if noise == "gaussian":
        return (x + level * torch.randn_like(x)).clamp(0, 1)
    draw = torch.rand_like(x[:, :1])  # one for a pixel
    if noise == "masking":
        return torch.where(draw < level, 0, x)
    return torch.where(draw < level, (draw < level / 2).to(x.dtype), x)


class DenoisingAutoencoder(Reconstructor):
    """An autoencoder that sees corrupted images and is trained, and judged, by the squared error to the clean ones.

    Beside its own scores it reports `noisy_psnr`, of the images it was given, in dB.

    Args:
        noise: how images are damaged.
        level: standard deviation of "gaussian" noise, share of pixels for the others.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        noise: Noise = "gaussian",
        level: float = 0.3,
        architecture: Architecture = "mlp",
        widths: Sequence[int] = WIDTHS,
        hidden: int | None = None,
        activation: Activation = "relu",
        latent_dim: int = 64,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        check_choice("noise", noise, get_args(Noise))
        if level <= 0 or (noise != "gaussian" and level >= 1):
            raise ZooError(f"level must be positive, and below 1 where it is a share of pixels, got {level}")
        super().__init__(lr, optim)
        self.save_hyperparameters(logger=False)
        self.noise, self.level = noise, level
        self.net = AutoencoderNet(require("input_shape", input_shape), architecture, widths, hidden, activation, latent_dim)

    def corrupt(self, x: Tensor) -> Tensor:
        """What the network gets to see of images (B, C, H, W)."""
        return corrupt(x, self.noise, self.level)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        noisy = self.corrupt(batch.x)
        preds = self.net(noisy)
        error = (noisy - batch.x).square().flatten(1).mean(1).clamp(min=1e-10)  # an image may be left as it was
        outputs = {"preds": preds, "target": batch.x, "noisy_psnr": -10 * error.log10().mean()}
        return F.mse_loss(preds, batch.x), outputs
