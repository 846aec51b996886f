"""Unrolled GAN: the generator plays against what the discriminator is about to become (Metz et al., 2017, arXiv:1611.02163)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from zoo.errors import ZooError
from zoo.gans.networks import build_networks
from zoo.nn.adversarial import discriminator_loss, generator_loss
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require


class UnrolledGAN(Adversarial):
    """The generator's loss is that after `unroll` gradient steps of the discriminator, and its gradient goes through them.

    Args:
        unroll: steps of the discriminator that are looked ahead; 0 is the plain GAN.
        unroll_lr: their rate, of plain gradient descent.
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
        game: Game | None = None,
    ) -> None:
        if unroll < 0:
            raise ZooError(f"unroll must be 0 or more, got {unroll}")
        if not unroll_lr > 0:
            raise ZooError(f"unroll_lr must be positive, got {unroll_lr}")
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths)
        super().__init__(*nets, lr, optim, game)
        for rule in ("penalty", "weight_clip"):
            if self.game[rule] is not None:
                raise ZooError(f"the steps ahead know no game.{rule}, got {self.game[rule]}: leave it out")
        self.save_hyperparameters(logger=False)
        self.unroll, self.unroll_lr = unroll, unroll_lr

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        if not self.training:  # where nothing has gradients: judged by the discriminator as it is
            return super().g_step(batch, progress, fake)
        fake = self.fake(batch) if fake is None else fake
        weights = self.unrolled(self.real(batch), fake)
        loss = generator_loss(self.game["loss"], functional_call(self.discriminator, weights, (fake,)))
        return loss, {"g_loss": loss}

    def unrolled(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's weights after `unroll` steps on these samples, as functions of them."""
        weights = {name: p.detach().requires_grad_() for name, p in self.discriminator.named_parameters()}
        for _ in range(self.unroll):
            real_logits, fake_logits = (functional_call(self.discriminator, weights, (x,)) for x in (real, fake))
            loss = discriminator_loss(self.game["loss"], real_logits, fake_logits)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self.unroll_lr * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        return weights
