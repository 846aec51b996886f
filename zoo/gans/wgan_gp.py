"""WGAN with gradient penalty (Gulrajani et al., 2017, arXiv:1704.00028).

The critic estimates the Wasserstein distance between real and generated samples. Its gradient with respect to its input is
pulled towards length 1 on straight lines between real and generated samples, which keeps it approximately 1-Lipschitz.

Shapes: B batch, C channels, H height, W width, Z latent dimension.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zoo.gans.networks import build_networks
from zoo.nn.adversarial import check_penalty, d_outputs, d_wasserstein, g_wasserstein, gradient_penalty
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

ADAM: Optim = {"name": "adam", "betas": [0.0, 0.9], "schedule": "constant"}  # algorithm 1


class WGANGP(FromNoise, Adversarial):
    """The critic has no BatchNorm, because the penalty is defined for each sample by itself (section 4).

    Args:
        architecture: "conv" for DCGAN's networks, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        penalty_weight: weight of the gradient penalty (lambda in the paper); 0 turns it off.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        penalty_weight: float = 10.0,
        lr: float = 1e-4,
        optim: Optim | None = None,
        n_critic: int = 5,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        check_penalty(penalty_weight)
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
        self.penalty_weight = penalty_weight
        self.second_order = penalty_weight > 0

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Critic loss: minus the estimated distance between real and generated samples, plus the penalty in training."""
        real, fake = self.real(batch), self.fake(batch).detach()
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss = d_wasserstein(real_logits, fake_logits)
        outputs = d_outputs(loss, real_logits, fake_logits)
        if self.training and self.penalty_weight:
            outputs["penalty"] = gradient_penalty(self.discriminator, real, fake)
            loss = loss + self.penalty_weight * outputs["penalty"]
        return loss, outputs

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Generator loss: raise the critic's output for generated samples."""
        loss = g_wasserstein(self.discriminator(self.fake(batch)))
        return loss, {"g_loss": loss}
