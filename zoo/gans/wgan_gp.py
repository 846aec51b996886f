"""WGAN-GP: the critic's gradient is drawn to length 1 instead (Gulrajani et al., 2017, arXiv:1704.00028)."""

from collections.abc import Sequence

from zoo.gans.networks import build_networks
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class WGANGP(Adversarial):
    """The penalty judges each sample alone, so that the critic has no BatchNorm (section 4)."""

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
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths)
        adam: Optim = {"name": "adam", "betas": [0.0, 0.9], "schedule": "constant"}
        rules: Game = {"loss": "wasserstein", "n_critic": 5, "penalty": "gradient", "penalty_weight": 10.0}
        super().__init__(*nets, lr, optim, game, rules, adam)
        self.save_hyperparameters(logger=False)
