"""Conditional GAN: both networks receive the class (Mirza & Osindero, 2014, arXiv:1411.1784).

The generator receives it next to its noise. The discriminator projects its features on the class (Miyato & Koyama, 2018,
arXiv:1802.05637).

Shapes: B batch, C channels, H height, W width, Z latent dimension, K classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.gans.dcgan import DiscriminatorNorm
from zoo.gans.networks import build_networks
from zoo.nn.adversarial import Loss, check_loss, d_outputs, discriminator_loss, generator_loss
from zoo.nn.checks import check_labels
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require


class ConditionalGAN(FromNoise, Adversarial):
    """Generates samples of a given class.

    Args:
        architecture: "conv" for DCGAN's networks, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        norm: normalisation in the discriminator.
        loss: "non_saturating" as in the paper, or for example "hinge", which suits spectral norm.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    conditional = True

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        norm: DiscriminatorNorm = "spectral",
        loss: Loss = "non_saturating",
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        check_loss(loss)
        nets = build_networks(architecture, shape, latent_dim, widths, norm, num_classes)
        super().__init__(
            generator=nets.generator,
            discriminator=nets.discriminator,
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
        self.num_classes = num_classes

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        return (batch.y,)

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Tell real samples of a class from generated samples of the same class."""
        real = self.discriminator(self.real(batch), batch.y)
        fake = self.discriminator(self.fake(batch).detach(), batch.y)
        loss = discriminator_loss(self.loss, real, fake)
        return loss, d_outputs(loss, real, fake)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated samples for real ones of their class."""
        loss = generator_loss(self.loss, self.discriminator(self.fake(batch), batch.y))
        return loss, {"g_loss": loss}

    def sample(self, num: int, *condition: Tensor) -> Tensor:
        """Draw samples of classes (num,); by default of all classes in turn."""
        y = condition[0] if condition else torch.arange(num, device=self.device) % self.num_classes
        return super().sample(num, y)

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        check_labels(batch.y, self.num_classes)

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return (*super().example_inputs(batch_size), torch.arange(batch_size) % self.num_classes)
