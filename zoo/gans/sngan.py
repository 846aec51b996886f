"""SNGAN: every layer of the discriminator has spectral norm 1 (Miyato et al., 2018, arXiv:1802.05957).

With two time scales (Heusel et al., 2017, arXiv:1706.08500): `game.d_lr` is the discriminator's.
"""

from collections.abc import Sequence

from zoo.gans.networks import build_networks
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class SNGAN(Adversarial):
    """Hinge loss, spectral norm, and a discriminator that learns four times as fast."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        lr: float = 1e-4,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="spectral")
        adam: Optim = {"name": "adam", "betas": [0.0, 0.9], "schedule": "constant"}
        super().__init__(*nets, lr, optim, game, {"loss": "hinge", "d_lr": 4 * lr}, adam)
        self.save_hyperparameters(logger=False)
