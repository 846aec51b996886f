"""SNGAN: a discriminator whose layers all have spectral norm 1 (Miyato et al., 2018, arXiv:1802.05957).

It learns at its own, larger rate: two time scales (Heusel et al., 2017, arXiv:1706.08500).

Shapes: B batch, C channels, H height, W width, Z latent dimension.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from zoo.gans.networks import build_networks
from zoo.nn.adversarial import d_hinge, d_outputs, g_hinge
from zoo.nn.checks import check_shape, check_sizes, check_stages
from zoo.nn.codecs import halvings
from zoo.nn.norms import spectral
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

ADAM: Optim = {"name": "adam", "betas": [0.0, 0.9], "schedule": "constant"}


SLOPE = 0.1  # of the paper's leaky ReLUs


class SNGenerator(nn.Module):
    """Map noise (B, Z) to images (B, C, H, W): the generator of table 3, which ends in a convolution at full resolution.

    Args:
        latent_dim: Z.
        output_shape: (C, H, W). H and W must be divisible by 2 ** (len(widths) - 1).
        widths: channels from the largest to the smallest feature map.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        check_sizes(latent_dim, widths)
        check_stages(output_shape, widths)
        start = (widths[-1], *halvings(output_shape, len(widths) - 1)[-1])
        layers: list[nn.Module] = [nn.Linear(latent_dim, math.prod(start)), nn.Unflatten(1, start)]
        for fan_in, fan_out in pairwise([*reversed(widths)]):
            layers += [nn.BatchNorm2d(fan_in), nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1)]
        layers += [nn.BatchNorm2d(widths[0]), nn.ReLU(), nn.Conv2d(widths[0], output_shape[0], 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class SNDiscriminator(nn.Module):
    """Map images (B, C, H, W) to logits (B,): table 3, with two convolutions at each size and one at the smallest.

    Args:
        input_shape: (C, H, W). H and W must be divisible by 2 ** (len(widths) - 1).
        widths: channels from the largest to the smallest feature map; four widths give the paper's seven convolutions.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        check_stages(input_shape, widths)
        self.input_shape = tuple(input_shape)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([input_shape[0], *widths]):
            if layers:
                layers += [spectral(nn.Conv2d(fan_in, fan_in, 4, stride=2, padding=1)), nn.LeakyReLU(SLOPE)]
            layers += [spectral(nn.Conv2d(fan_in, fan_out, 3, padding=1)), nn.LeakyReLU(SLOPE)]
        height, width = halvings(input_shape, len(widths) - 1)[-1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), spectral(nn.Linear(widths[-1] * height * width, 1)))

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.layers(x).squeeze(1)


class SNGAN(FromNoise, Adversarial):
    """Spectral normalisation, hinge loss, and a discriminator that learns four times as fast by default.

    Args:
        architecture: "standard" for the paper's networks for CIFAR-10, "conv" for DCGAN's, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        d_lr: learning rate of the discriminator; None for four times `lr`.
        n_critic: see `Adversarial`, as for accumulate, ema and clip.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Literal["mlp", "conv", "standard"] = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        lr: float = 1e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        generator: nn.Module
        discriminator: nn.Module
        if architecture == "standard":
            generator, discriminator = SNGenerator(latent_dim, shape, widths), SNDiscriminator(shape, widths)
        else:
            generator, discriminator = build_networks(architecture, shape, latent_dim, widths, norm="spectral")
        super().__init__(
            generator=generator,
            discriminator=discriminator,
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=4 * lr if d_lr is None else d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Hinge loss: push logits above 1 for real samples and below -1 for generated ones."""
        real, fake = self.discriminator(self.real(batch)), self.discriminator(self.fake(batch).detach())
        loss = d_hinge(real, fake)
        return loss, d_outputs(loss, real, fake)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Raise the logits of generated samples."""
        loss = g_hinge(self.discriminator(self.fake(batch)))
        return loss, {"g_loss": loss}
