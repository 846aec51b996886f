"""Wasserstein GAN with clipped weights (Arjovsky, Chintala & Bottou, 2017, arXiv:1701.07875).

The critic estimates the Wasserstein distance between real and generated samples. Clipping its weights keeps it Lipschitz.

Shapes: B batch, C channels, H height, W width, Z latent dimension.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zoo.errors import ZooError
from zoo.gans.networks import build_networks
from zoo.nn.adversarial import clip_weights, d_outputs, d_wasserstein, g_wasserstein
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

# Section 3: momentum made training unstable. OPTIMIZERS sets momentum 0 and alpha 0.99 for RMSprop, like the authors' code.
RMSPROP: Optim = {"name": "rmsprop", "schedule": "constant"}


class WGAN(FromNoise, Adversarial):
    """Five critic updates per generator update, each followed by clipping.

    Args:
        architecture: "conv" for DCGAN's networks, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        weight_clip: bound on the magnitude of the critic's weights; None turns clipping off.
        warmup: critic updates in each of the first 25 iterations and in every 500th; 100 in the authors' code. Here they
            reuse the parts of one batch. 0 keeps `n_critic` in all iterations.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        weight_clip: float | None = 0.01,
        warmup: int = 0,
        lr: float = 5e-5,
        optim: Optim | None = None,
        n_critic: int = 5,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        if weight_clip is not None and not weight_clip > 0:
            raise ZooError(f"weight_clip must be positive, got {weight_clip}")
        if warmup < 0:
            raise ZooError(f"warmup must be 0 or more updates, got {warmup}")
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="batch")
        super().__init__(
            generator=nets.generator,
            discriminator=nets.discriminator,
            lr=lr,
            optim=merge_optim(RMSPROP, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.weight_clip, self.warmup = weight_clip, warmup

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Critic loss: minus the estimated distance between real and generated samples."""
        real, fake = self.discriminator(self.real(batch)), self.discriminator(self.fake(batch).detach())
        loss = d_wasserstein(real, fake)
        return loss, d_outputs(loss, real, fake)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Generator loss: raise the critic's output for generated samples."""
        loss = g_wasserstein(self.discriminator(self.fake(batch)))
        return loss, {"g_loss": loss}

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        warming_up = iteration < 25 or iteration % 500 == 0
        return [self.d_step] * max(len(parts), self.warmup if warming_up else 0), self.g_step

    def after_d_update(self) -> None:
        if self.weight_clip is not None:
            clip_weights(self.discriminator, self.weight_clip)
