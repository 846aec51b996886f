"""SNGAN: a discriminator whose layers all have spectral norm 1 (Miyato et al., 2018, arXiv:1802.05957).

It learns at its own, larger rate: two time scales (Heusel et al., 2017, arXiv:1706.08500).

Shapes: B batch, C channels, H height, W width, Z latent dimension.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from zoo.gans.networks import build_networks
from zoo.nn.adversarial import d_hinge, d_outputs, g_hinge
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

ADAM: Optim = {"name": "adam", "betas": [0.0, 0.9], "schedule": "constant"}


class SNGAN(FromNoise, Adversarial):
    """Spectral normalisation, hinge loss, and a discriminator that learns four times as fast by default.

    Args:
        architecture: "conv" for DCGAN's networks, "mlp" for dense ones.
        widths: channels from the largest to the smallest feature map, or sizes of the hidden layers.
        d_lr: learning rate of the discriminator; None for four times `lr`.
        n_critic: see `Adversarial`, as for accumulate, ema and clip.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
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
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="spectral")
        super().__init__(
            generator=nets.generator,
            discriminator=nets.discriminator,
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
