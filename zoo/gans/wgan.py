"""Wasserstein GAN: the critic estimates a distance, its weights are clipped (Arjovsky et al., 2017, arXiv:1701.07875)."""

from collections.abc import Sequence

from zoo.gans.networks import build_networks
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class WGAN(Adversarial):
    """Clipping keeps the critic Lipschitz, by a bound nobody knows; five updates keep it ahead of the generator.

    Momentum hurts here (section 3): without `optim` it is RMSprop.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        lr: float = 5e-5,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="batch")
        rmsprop: Optim = {"name": "rmsprop", "schedule": "constant"}
        rules: Game = {"loss": "wasserstein", "n_critic": 5, "weight_clip": 0.01}
        super().__init__(*nets, lr, optim, game, rules, rmsprop)
        self.save_hyperparameters(logger=False)
