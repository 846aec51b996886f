"""Minibatch discrimination: the discriminator sees how alike samples of a batch are (Salimans et al., 2016, arXiv:1606.03498).

Shapes: B batch, F features, K kernels of D numbers each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.networks import build_networks
from zoo.nn.codecs import Architecture
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class MinibatchDiscrimination(nn.Module):
    """Features (B, F) with K numbers beside them that say how close the rest of the batch is: (B, F + K) (section 3.2).

    Args:
        num_features: F.
        num_kernels: K.
        kernel_dim: D.
    """

    def __init__(self, num_features: int, num_kernels: int, kernel_dim: int) -> None:
        super().__init__()
        if num_kernels < 1 or kernel_dim < 1:
            raise ZooError(f"num_kernels and kernel_dim must be at least 1, got {num_kernels} and {kernel_dim}")
        self.to_kernels = nn.Linear(num_features, num_kernels * kernel_dim, bias=False)
        self.unflatten = nn.Unflatten(1, (num_kernels, kernel_dim))

    def forward(self, features: Tensor) -> Tensor:
        kernels = self.unflatten(self.to_kernels(features)).float().transpose(0, 1)
        distances = torch.cdist(kernels, kernels, p=1)  # (K, B, B)
        closeness = torch.exp(-distances).sum(2).T - 1  # all but itself
        return torch.cat([features, closeness.to(features.dtype)], dim=1)


class MinibatchGAN(Adversarial):
    """A generator that draws one thing only is found out, since the batch is too alike.

    Args:
        num_kernels: ways in which samples can be alike.
        kernel_dim: numbers of each.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        architecture: Architecture = "conv",
        latent_dim: int = 64,
        widths: Sequence[int] = (64, 128),
        num_kernels: int = 32,
        kernel_dim: int = 8,
        lr: float = 2e-4,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        nets = build_networks(architecture, require("input_shape", input_shape), latent_dim, widths, norm="batch")
        num_features = nets.discriminator.num_features
        similarity = MinibatchDiscrimination(num_features, num_kernels, kernel_dim)
        nets.discriminator.head = nn.Sequential(similarity, nn.Linear(num_features + num_kernels, 1))
        super().__init__(*nets, lr, optim, game)
        self.save_hyperparameters(logger=False)
