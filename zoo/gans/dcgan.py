"""DCGAN: convolutional networks with BatchNorm (Radford, Metz & Chintala, 2016, arXiv:1511.06434).

Shapes: B batch, C channels, H height, W width, Z latent dimension, K classes. Images are in [-1, 1].
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

from torch import Tensor, nn

from zoo.errors import check_choice
from zoo.gans.shared_fakes import check_redraw, share_fake
from zoo.nn.activations import GAN_SLOPE
from zoo.nn.adversarial import d_cross_entropy, d_outputs, g_non_saturating
from zoo.nn.checks import check_shape, check_sizes
from zoo.nn.codecs import check_codec, halvings
from zoo.nn.conditioning import append_class, projection_logits
from zoo.nn.norms import spectral
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

WIDTHS = (64, 128)
DiscriminatorNorm = Literal["batch", "spectral", "none"]


class DCGenerator(nn.Module):
    """Map noise (B, Z), and classes (B,) if it is conditional, to images (B, C, H, W).

    A dense layer makes the smallest maps, and each transposed convolution doubles them. Odd sizes work too, as long as
    halving the image that often leaves at least one pixel.

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels from the largest to the smallest feature map.
        num_classes: K; None for an unconditional generator.

    Raises:
        ZooError: if a size is out of range.
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
            kernel = 4 - height % 2, 4 - width % 2  # to twice the size, or one pixel less
            layers += [nn.BatchNorm2d(fan_in), nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, kernel, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(initialise)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(append_class(z, y, self.num_classes))


class DCDiscriminator(nn.Module):
    """Map images (B, C, H, W), and classes (B,) if it is conditional, to logits (B,).

    Args:
        input_shape: (C, H, W).
        widths: channels of the convolutions, each of which halves the maps.
        norm: "batch" for BatchNorm after all convolutions but the first, "spectral" for every layer, or "none".
        num_classes: K; None for an unconditional discriminator.

    Raises:
        ZooError: if a size is out of range, or the norm is unknown.
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
            layers += [*([nn.BatchNorm2d(fan_out)] if normed else []), nn.LeakyReLU(GAN_SLOPE)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        height, width = input_shape[1] // 2 ** len(widths), input_shape[2] // 2 ** len(widths)
        self.num_features = widths[-1] * height * width
        self.head: nn.Module = nn.Linear(self.num_features, 1)
        self.of_class = nn.Embedding(num_classes, self.num_features) if num_classes else None
        if norm == "batch":
            self.apply(initialise)  # Without BatchNorm such small weights would shrink the signal from layer to layer.
        if norm == "spectral":
            for module in list(self.modules()):
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral(module)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        check_shape(x, self.input_shape)
        return projection_logits(self.features(x), self.head, self.of_class, y)


class DCGAN(FromNoise, Adversarial):
    """Convolutional generator and discriminator, both with BatchNorm.

    Args:
        widths: channels from the largest to the smallest feature map.
        redraw: whether the generator's update draws new samples. False reuses those of the last discriminator update, as
            most tutorials do, which saves one pass through the generator.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = WIDTHS,
        redraw: bool = True,
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        check_redraw(redraw, accumulate)
        super().__init__(
            generator=DCGenerator(latent_dim, shape, widths),
            discriminator=DCDiscriminator(shape, widths),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.redraw = redraw

    def d_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """Tell real images from generated ones; `fake` are images that were generated already."""
        fake = self.fake(batch) if fake is None else fake
        real_logits, fake_logits = self.discriminator(self.real(batch)), self.discriminator(fake.detach())
        loss = d_cross_entropy(real_logits, fake_logits)
        return loss, d_outputs(loss, real_logits, fake_logits)

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated images for real ones; `fake` are images that were generated already."""
        fake = self.fake(batch) if fake is None else fake
        loss = g_non_saturating(self.discriminator(fake))
        return loss, {"g_loss": loss}

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        if self.redraw:
            return super().steps(parts, iteration)
        return share_fake(self.fake(parts[-1]), len(parts), self.d_step, self.g_step)


def initialise(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), and BatchNorm's scales from N(1, 0.02) (Radford et al., section 3). For `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
