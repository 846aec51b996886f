"""StyleGAN: a mapping network turns noise into styles, which modulate every convolution of the synthesis.

Karras, Laine & Aila, 2019, arXiv:1812.04948 (mapping, noise, style mixing, truncation), with the second version's modulated
convolutions, sum of images and lazy R1 (Karras et al., 2020, arXiv:1912.04958).
Shapes: B batch, C H W image in [-1, 1], Z noise, W style, N styles of a network.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.gan import SLOPE, check_sizes
from zoo.nn.checks import check_shape
from zoo.nn.codecs import check_codec, halvings
from zoo.nn.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class ModulatedConv2d(nn.Module):
    """A convolution whose weights each sample's style scales, (B, C, H, W) and (B, W) to (B, C', H, W).

    Outputs are brought back to unit variance by the weights alone (`demodulate`, section 2.2 of the second paper). Samples are
    scaled before and after one shared convolution, which is the same and needs no weights of their own.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, style_dim: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.style = EqualizedLinear(style_dim, in_channels, gain=1.0, bias=1.0)
        self.scale, self.padding, self.demodulate = 1 / math.sqrt(in_channels * kernel_size**2), kernel_size // 2, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style, weight = self.style(w), self.weight * self.scale
        x = F.conv2d(x * style[:, :, None, None], weight, padding=self.padding)
        if not self.demodulate:
            return x
        power = style.float().square() @ weight.float().square().sum((2, 3)).T  # (B, C')
        return x * torch.rsqrt(power + 1e-8).to(x.dtype)[:, :, None, None]


class StyledLayer(nn.Module):
    """Modulated convolution, noise, bias and leaky ReLU. In evaluation the noise is always the same."""

    fixed_noise: Tensor

    def __init__(self, in_channels: int, out_channels: int, style_dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(in_channels, out_channels, 3, style_dim)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.register_buffer("fixed_noise", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.convolution(x, w)
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed_noise.to(x.dtype)
        return F.leaky_relu(x + self.noise_strength * noise + self.bias, SLOPE) * math.sqrt(2)


class StyleBlock(nn.Module):
    """Two styled layers at one resolution, and what they add to the image: maps (B, C, H, W) to maps and an image.

    Args:
        in_channels: of the maps.
        out_channels: of the maps after it.
        image_channels: of the image.
        style_dim: W.
        size: (H, W), to which smaller maps are enlarged.
    """

    def __init__(self, in_channels: int, out_channels: int, image_channels: int, style_dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.first = StyledLayer(in_channels, out_channels, style_dim, size)
        self.second = StyledLayer(out_channels, out_channels, style_dim, size)
        self.to_image = ModulatedConv2d(out_channels, image_channels, 1, style_dim, demodulate=False)

    def forward(self, maps: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.second(self.first(_enlarge(maps, self.size), first), second)
        return maps, self.to_image(maps, second)


class StyleGenerator(nn.Module):
    """Noise (B, Z) to images (B, C, H, W).

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.
        style_dim: W.
        num_mapping: layers of the mapping network.
        mixing: probability that in training a sample gets the styles of another noise from some layer on.

    Raises:
        ZooError: for arguments that cannot work.
    """

    mean_style: Tensor

    def __init__(
        self,
        latent_dim: int,
        output_shape: Sequence[int],
        widths: Sequence[int],
        style_dim: int = 64,
        num_mapping: int = 4,
        mixing: float = 0.9,
    ) -> None:
        super().__init__()
        check_sizes(latent_dim, [*widths, style_dim, num_mapping])
        check_codec("conv", output_shape, widths)
        if not 0 <= mixing <= 1:
            raise ZooError(f"mixing is a probability, got {mixing}")
        self.mixing, dims = mixing, [*reversed(widths)]
        sizes = halvings(output_shape, len(widths) - 1)[::-1]
        mapping = [
            EqualizedLinear(fan_in, style_dim, lr_scale=0.01) for fan_in in (latent_dim, *[style_dim] * (num_mapping - 1))
        ]
        self.mapping = nn.Sequential(PixelNorm(), *(part for layer in mapping for part in (layer, nn.LeakyReLU(SLOPE))))
        self.start = nn.Parameter(torch.randn(1, dims[0], *sizes[0]))
        self.blocks = nn.ModuleList(
            StyleBlock(fan_in, fan_out, output_shape[0], style_dim, size)
            for (fan_in, fan_out), size in zip(pairwise([dims[0], *dims]), sizes, strict=True)
        )
        self.num_styles = 2 * len(widths)
        self.register_buffer("mean_style", torch.zeros(style_dim))  # which truncation draws to; the system fills it in

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        styles = self.mapping(z)[:, None].expand(-1, self.num_styles, -1)
        if self.training and self.mixing:
            styles = self.mix(styles, self.mapping(torch.randn_like(z)))
        if truncation != 1:
            styles = torch.lerp(self.mean_style.to(styles.dtype), styles, truncation)
        return self.synthesise(styles)

    def mix(self, styles: Tensor, others: Tensor) -> Tensor:
        """Styles (B, N, W), of which in some samples those from a random layer on are the others' (B, W)."""
        num, layers = len(styles), torch.arange(self.num_styles, device=styles.device)
        first = torch.randint(1, self.num_styles, (num, 1), device=styles.device)
        mixed = torch.rand(num, 1, device=styles.device) < self.mixing
        return torch.where(((layers >= first) & mixed)[:, :, None], others[:, None], styles)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Styles (B, N, W), two for each resolution, to images (B, C, H, W)."""
        maps, first, *others = self.start.expand(len(styles), -1, -1, -1), *self.blocks
        maps, image = first(maps, styles[:, 0], styles[:, 1])
        for place, block in enumerate(others, start=1):
            maps, more = block(maps, styles[:, 2 * place], styles[:, 2 * place + 1])
            image = more + _enlarge(image, more.shape[2:])
        return torch.tanh(image)


class StyleDiscriminator(nn.Module):
    """Images (B, C, H, W) to logits (B,): residual blocks that halve the maps, minibatch deviation, a dense end.

    Args:
        input_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        check_codec("conv", input_shape, widths)
        self.input_shape = tuple(input_shape)
        sizes = halvings(input_shape, len(widths) - 1)
        self.features = nn.Sequential(
            EqualizedConv2d(input_shape[0], widths[0], 1),
            nn.LeakyReLU(SLOPE),
            *(
                ResidualBlock(fan_in, fan_out, size)
                for (fan_in, fan_out), size in zip(pairwise(widths), sizes[1:], strict=True)
            ),
        )
        self.head = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(widths[-1] + 1, widths[-1], 3),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualizedLinear(widths[-1] * math.prod(sizes[-1]), widths[-1]),
            nn.LeakyReLU(SLOPE),
            EqualizedLinear(widths[-1], 1, gain=1.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.head(self.features(x)).squeeze(1)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, both reduced to `size` (H, W): (B, C, H', W') to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(
            *(EqualizedConv2d(in_channels, in_channels, 3), nn.LeakyReLU(SLOPE)),
            *(EqualizedConv2d(in_channels, out_channels, 3), nn.LeakyReLU(SLOPE)),
        )
        self.shortcut = EqualizedConv2d(in_channels, out_channels, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        smaller = F.adaptive_avg_pool2d(self.layers(x), self.size)
        return (smaller + self.shortcut(F.adaptive_avg_pool2d(x, self.size))) / math.sqrt(2)


class StyleGAN(Adversarial):
    """Styles at every resolution; R1 on every sixteenth discriminator update; samples of the averaged generator.

    Args:
        widths: channels at each resolution, from the largest to the smallest.
        truncation: of samples: 1 is none, less trades variety for quality (section B of the first paper).
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = (32, 64, 128),
        style_dim: int = 64,
        num_mapping: int = 4,
        mixing: float = 0.9,
        truncation: float = 1.0,
        lr: float = 2e-3,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        if not 0 <= truncation <= 1:
            raise ZooError(f"truncation must lie in [0, 1], got {truncation}")
        shape = require("input_shape", input_shape)
        generator = StyleGenerator(latent_dim, shape, widths, style_dim, num_mapping, mixing)
        adam: Optim = {"name": "adam", "betas": [0.0, 0.99], "schedule": "constant"}
        rules: Game = {"penalty": "r1", "penalty_weight": 1.0, "penalty_every": 16, "ema": 0.999}
        super().__init__(generator, StyleDiscriminator(shape, widths), lr, optim, game, rules, adam)
        self.save_hyperparameters(logger=False)
        self.truncation = truncation

    def forward(self, *inputs: Tensor) -> Tensor:
        """Noise (B, Z) to images (B, C, H, W) in [0, 1], by the truncation of the system."""
        return (self.net(*inputs, truncation=self.truncation) + 1) / 2

    @torch.no_grad()
    def refresh_statistics(self) -> None:
        """Find the mean style, which only truncation reads."""
        super().refresh_statistics()
        (z,) = self.example_inputs(10_000)
        for network in self.modules():
            if isinstance(network, StyleGenerator):
                network.mean_style.copy_(network.mapping(z.to(self.device)).mean(0))


def _enlarge(x: Tensor, size: Sequence[int]) -> Tensor:
    return x if list(x.shape[2:]) == list(size) else F.interpolate(x, list(size), mode="bilinear", align_corners=False)
