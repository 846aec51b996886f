"""The first generative adversarial network, with dense layers (Goodfellow et al., 2014, arXiv:1406.2661).

Shapes: B batch, Z latent dimension, K classes. Samples are images (C, H, W) in [-1, 1], or points (F,) in any range.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.activations import GAN_SLOPE
from zoo.nn.adversarial import Loss, check_loss, d_outputs, discriminator_loss, generator_loss
from zoo.nn.checks import check_shape, check_sizes
from zoo.nn.conditioning import append_class, projection_logits
from zoo.nn.norms import spectral
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

WIDTHS = (256, 512)


class MLPGenerator(nn.Module):
    """Map noise (B, Z), and classes (B,) if it is conditional, to samples. Images end in tanh.

    Args:
        latent_dim: Z.
        output_shape: shape of one sample.
        widths: sizes of the hidden layers.
        num_classes: K; None for an unconditional generator.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(
        self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int] = WIDTHS, num_classes: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(latent_dim, widths)
        self.num_classes = num_classes
        dims = [latent_dim + (num_classes or 0), *widths]
        hidden = [layer for pair in pairwise(dims) for layer in (nn.Linear(*pair), nn.LeakyReLU(GAN_SLOPE))]
        last = [nn.Linear(dims[-1], math.prod(output_shape)), nn.Unflatten(1, tuple(output_shape))]
        self.layers = nn.Sequential(*hidden, *last, nn.Tanh() if len(output_shape) == 3 else nn.Identity())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(append_class(z, y, self.num_classes))


class MLPDiscriminator(nn.Module):
    """Map samples, and classes (B,) if it is conditional, to logits (B,).

    Args:
        input_shape: shape of one sample.
        widths: sizes of the hidden layers in the generator's order: the last one is next to the sample.
        norm: "none", or "spectral" for every layer (Miyato et al., 2018, arXiv:1802.05957).
        num_classes: K; None for an unconditional discriminator.

    Raises:
        ZooError: if a size is out of range, or the norm is unknown.
    """

    def __init__(
        self, input_shape: Sequence[int], widths: Sequence[int] = WIDTHS, norm: str = "none", num_classes: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(1, widths)
        if norm not in ("none", "spectral"):
            raise ZooError(f"unknown norm {norm!r} of a dense discriminator: choose one of none, spectral")
        self.input_shape, self.num_features = tuple(input_shape), widths[0]
        wrap = spectral if norm == "spectral" else nn.Identity()
        dims = [math.prod(input_shape), *reversed(widths)]
        layers = [layer for pair in pairwise(dims) for layer in (wrap(nn.Linear(*pair)), nn.LeakyReLU(GAN_SLOPE))]
        self.features = nn.Sequential(nn.Flatten(), *layers)
        self.head = wrap(nn.Linear(self.num_features, 1))
        self.of_class = wrap(nn.Embedding(num_classes, self.num_features)) if num_classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        check_shape(x, self.input_shape)
        return projection_logits(self.features(x), self.head, self.of_class, y)


class GAN(FromNoise, Adversarial):
    """Dense generator and discriminator, for images or for points in the plane.

    Args:
        widths: sizes of the hidden layers.
        loss: "non_saturating" or "minimax" from the paper, or a later paper's loss, to compare them on the same networks.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        loss: Loss = "non_saturating",
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        check_loss(loss)
        super().__init__(
            generator=MLPGenerator(latent_dim, shape, widths),
            discriminator=MLPDiscriminator(shape, widths),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.loss: Loss = loss

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Tell real samples from generated ones."""
        real, fake = self.discriminator(self.real(batch)), self.discriminator(self.fake(batch).detach())
        loss = discriminator_loss(self.loss, real, fake)
        return loss, d_outputs(loss, real, fake)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated samples for real ones."""
        loss = generator_loss(self.loss, self.discriminator(self.fake(batch)))
        return loss, {"g_loss": loss}
