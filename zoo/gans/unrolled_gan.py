"""Unrolled GAN: the generator faces the discriminator as it will be some steps later (Metz et al., 2017, arXiv:1611.02163).

Shapes: B batch, C channels, H height, W width, Z latent dimension.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from zoo.errors import ZooError
from zoo.gans.networks import build_networks
from zoo.nn.adversarial import d_cross_entropy, d_outputs, g_non_saturating
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require


class UnrolledGAN(FromNoise, Adversarial):
    """The generator's loss is taken after `unroll` gradient steps of the discriminator, and differentiated through them.

    Args:
        architecture: "mlp" for dense networks, "conv" for DCGAN's.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        unroll: number of discriminator steps to look ahead; 0 is the plain GAN.
        unroll_lr: learning rate of these steps, which are plain gradient descent.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "mlp",
        latent_dim: int = 64,
        widths: Sequence[int] = (128, 128),
        unroll: int = 5,
        unroll_lr: float = 0.1,
        lr: float = 1e-3,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        if unroll < 0:
            raise ZooError(f"unroll must be 0 or more, got {unroll}")
        if not unroll_lr > 0:
            raise ZooError(f"unroll_lr must be positive, got {unroll_lr}")
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths)
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
        self.unroll, self.unroll_lr, self.second_order = unroll, unroll_lr, unroll > 0

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Tell real samples from generated ones, as in the plain GAN."""
        real, fake = self.discriminator(self.real(batch)), self.discriminator(self.fake(batch).detach())
        loss = d_cross_entropy(real, fake)
        return loss, d_outputs(loss, real, fake)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Deceive the discriminator as it will be after `unroll` steps; in evaluation, the discriminator as it is."""
        fake = self.fake(batch)
        weights = self.unrolled(self.real(batch), fake) if self.training else {}
        loss = g_non_saturating(functional_call(self.discriminator, weights, (fake,)))
        return loss, {"g_loss": loss}

    def unrolled(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Compute the discriminator's weights after `unroll` steps on these samples, differentiable with respect to them."""
        weights = {name: p.detach().requires_grad_() for name, p in self.discriminator.named_parameters()}
        for _ in range(self.unroll):
            logits = functional_call(self.discriminator, weights, (torch.cat([real, fake]),))
            loss = d_cross_entropy(*logits.split([len(real), len(fake)]))
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self.unroll_lr * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        return weights
