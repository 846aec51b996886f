"""Conditional GAN: both players are told the class (Mirza & Osindero, 2014, arXiv:1411.1784).

The generator is given it beside its noise, the discriminator projects its features on it (Miyato & Koyama, 2018,
arXiv:1802.05637).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.gans.dcgan import DiscriminatorNorm
from zoo.gans.networks import build_networks
from zoo.nn.checks import check_labels
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class ConditionalGAN(Adversarial):
    """Draws samples of a class.

    Args:
        norm: of the discriminator.
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
        lr: float = 2e-4,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        classes = require("num_classes", num_classes)
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm, classes)
        super().__init__(*nets, lr, optim, game)
        self.save_hyperparameters(logger=False)

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        return (batch.y,)

    def sample(self, num: int, *given: Tensor) -> Tensor:
        """Draw samples of the classes (num,), or of all in turn."""
        y = given[0] if given else torch.arange(num, device=self.device) % self.hparams["num_classes"]
        return super().sample(num, y)

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        check_labels(batch.y, self.hparams["num_classes"])

    def example_inputs(self, batch_size: int) -> tuple[Tensor, ...]:
        return (*super().example_inputs(batch_size), torch.arange(batch_size) % self.hparams["num_classes"])
