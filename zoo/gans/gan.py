"""The first generative adversarial network, of dense layers (Goodfellow et al., 2014, arXiv:1406.2661).

Shapes: B batch, Z noise, K classes; samples are images (C, H, W) in [-1, 1], or points (F,) of any range.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from zoo.errors import ZooError
from zoo.nn.checks import check_shape
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require

WIDTHS = (256, 512)
SLOPE = 0.2  # of leaky ReLUs


class MLPGenerator(nn.Module):
    """Noise (B, Z), and classes (B,) if it was built for some, to samples; images go through tanh.

    Args:
        latent_dim: Z.
        output_shape: of a sample.
        widths: of the hidden layers.
        num_classes: K, for samples of a class.

    Raises:
        ZooError: for arguments that cannot work.
    """

    def __init__(
        self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int] = WIDTHS, num_classes: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(latent_dim, widths)
        self.num_classes = num_classes
        dims = [latent_dim + (num_classes or 0), *widths]
        hidden = [layer for pair in pairwise(dims) for layer in (nn.Linear(*pair), nn.LeakyReLU(SLOPE))]
        last = [nn.Linear(dims[-1], math.prod(output_shape)), nn.Unflatten(1, tuple(output_shape))]
        self.layers = nn.Sequential(*hidden, *last, nn.Tanh() if len(output_shape) == 3 else nn.Identity())

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, y, self.num_classes))


class MLPDiscriminator(nn.Module):
    """Samples, and classes (B,) if it was built for some, to logits (B,).

    `head` judges `features`; a class adds its own direction to that judgement (Miyato & Koyama, 2018, arXiv:1802.05637).

    Args:
        input_shape: of a sample.
        widths: of the hidden layers, the first one's first: those of the generator are read from their end.
        norm: "none", or "spectral" on every layer (Miyato et al., 2018, arXiv:1802.05957).
        num_classes: K, for samples of a class.
    """

    def __init__(
        self, input_shape: Sequence[int], widths: Sequence[int] = WIDTHS, norm: str = "none", num_classes: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(1, widths)
        if norm not in ("none", "spectral"):
            raise ZooError(f"unknown norm {norm!r} of a dense discriminator: choose one of none, spectral")
        self.input_shape, self.num_features = tuple(input_shape), widths[0]
        wrap = spectral if norm == "spectral" else nn.Identity()
        dims = [math.prod(input_shape), *reversed(widths)]
        layers = [layer for pair in pairwise(dims) for layer in (wrap(nn.Linear(*pair)), nn.LeakyReLU(SLOPE))]
        self.features = nn.Sequential(nn.Flatten(), *layers)
        self.head = wrap(nn.Linear(self.num_features, 1))
        self.of_class = wrap(nn.Embedding(num_classes, self.num_features)) if num_classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        check_shape(x, self.input_shape)
        return projection_logits(self.features(x), self.head, self.of_class, y)


class GAN(Adversarial):
    """Two dense networks at play: on images, or on points in the plane."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        lr: float = 2e-4,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        super().__init__(MLPGenerator(latent_dim, shape, widths), MLPDiscriminator(shape, widths), lr, optim, game)
        self.save_hyperparameters(logger=False)


def spectral(layer: nn.Module) -> nn.Module:
    """A layer whose weight is divided by its largest singular value (Miyato et al., 2018, arXiv:1802.05957).

    By three power iterations at each use: one, as in the paper, was measured to lag by up to 8 % in small layers.
    """
    return spectral_norm(layer, n_power_iterations=3)


def with_class(z: Tensor, y: Tensor | None, num_classes: int | None) -> Tensor:
    """Noise (B, Z) with the class beside it as one of `num_classes` ones and zeros: (B, Z + K).

    Raises:
        ZooError: if a class is wanted and none was given.
    """
    if num_classes is None:
        return z
    if y is None:
        raise ZooError("a conditional generator needs the classes to draw from")
    return torch.cat([z, F.one_hot(y, num_classes).to(z.dtype)], dim=1)


def projection_logits(features: Tensor, head: nn.Module, of_class: nn.Module | None, y: Tensor | None) -> Tensor:
    """Features (B, F) to logits (B,), with what the class y (B,) adds.

    Raises:
        ZooError: if a class is wanted and none was given.
    """
    logits: Tensor = head(features).squeeze(1)
    if of_class is None:
        return logits
    if y is None:
        raise ZooError("a conditional discriminator needs the classes of its samples")
    return logits + (of_class(y) * features).sum(1)


def check_sizes(latent_dim: int, widths: Sequence[int]) -> None:
    """Refuse a network that cannot be built.

    Raises:
        ZooError: naming the argument.
    """
    if latent_dim < 1:
        raise ZooError(f"latent_dim must be at least 1, got {latent_dim}")
    if not widths or min(widths) < 1:
        raise ZooError(f"widths must be one or more positive numbers, got {list(widths)}")
