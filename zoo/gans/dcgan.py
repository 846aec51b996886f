"""DCGAN: convolutions that halve and double, with BatchNorm (Radford, Metz & Chintala, 2016, arXiv:1511.06434).

Shapes: B batch, C H W image in [-1, 1], Z noise, K classes.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from zoo.errors import check_choice
from zoo.gans.gan import SLOPE, check_sizes, projection_logits, spectral, with_class
from zoo.nn.checks import check_shape
from zoo.nn.codecs import check_codec, halvings
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require

WIDTHS = (64, 128)
DiscriminatorNorm = Literal["batch", "spectral", "none"]


class DCGenerator(nn.Module):
    """Noise (B, Z), and classes (B,) if it was built for some, to images (B, C, H, W).

    A dense layer makes the smallest maps, each transposed convolution doubles them: any size is reached that has a pixel left
    after as many halvings.

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels of the maps, from the largest to the smallest.
        num_classes: K, for images of a class.

    Raises:
        ZooError: for arguments that cannot work.
    """

    def __init__(
        self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int] = WIDTHS, num_classes: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(latent_dim, widths)
        check_codec("conv", output_shape, widths)
        self.num_classes = num_classes
        sizes = halvings(output_shape, len(widths))[::-1]
        start = (widths[-1], *sizes[0])
        layers: list[nn.Module] = [nn.Linear(latent_dim + (num_classes or 0), math.prod(start)), nn.Unflatten(1, start)]
        for (fan_in, fan_out), (height, width) in zip(pairwise([*reversed(widths), output_shape[0]]), sizes[1:], strict=True):
            kernel = 4 - height % 2, 4 - width % 2  # doubles, or doubles less one
            layers += [nn.BatchNorm2d(fan_in), nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, kernel, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(initialise)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, y, self.num_classes))


class DCDiscriminator(nn.Module):
    """Images (B, C, H, W), and classes (B,) if it was built for some, to logits (B,): `head` judges `features`.

    Args:
        input_shape: (C, H, W).
        widths: channels of the convolutions, each of which halves the maps.
        norm: BatchNorm after all convolutions but the first; or the spectral norm of every layer; or none.
        num_classes: K, for images of a class.

    Raises:
        ZooError: for arguments that cannot work.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int] = WIDTHS,
        norm: DiscriminatorNorm = "batch",
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        check_codec("conv", input_shape, widths)
        check_choice("norm", norm, get_args(DiscriminatorNorm))
        self.input_shape = tuple(input_shape)
        layers: list[nn.Module] = []
        for number, (fan_in, fan_out) in enumerate(pairwise([input_shape[0], *widths])):
            normed = norm == "batch" and number > 0
            layers.append(nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1, bias=not normed))
            layers += [*([nn.BatchNorm2d(fan_out)] if normed else []), nn.LeakyReLU(SLOPE)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        height, width = input_shape[1] // 2 ** len(widths), input_shape[2] // 2 ** len(widths)
        self.num_features = widths[-1] * height * width
        self.head: nn.Module = nn.Linear(self.num_features, 1)
        self.of_class = nn.Embedding(num_classes, self.num_features) if num_classes else None
        if norm == "batch":
            self.apply(initialise)  # BatchNorm makes up for tiny weights; without it they keep torch's scale
        if norm == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral(module)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        check_shape(x, self.input_shape)
        return projection_logits(self.features(x), self.head, self.of_class, y)


class DCGAN(Adversarial):
    """Convolutional players, both with BatchNorm."""

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
        super().__init__(DCGenerator(latent_dim, shape, widths), DCDiscriminator(shape, widths), lr, optim, game)
        self.save_hyperparameters(logger=False)


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), those of BatchNorm around 1 (Radford et al., section 3)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
