"""StyleGAN: a mapping network turns noise into styles, which modulate every convolution of the generator.

Karras, Laine & Aila, 2019, arXiv:1812.04948 (mapping, noise, style mixing, truncation), with modulated convolutions, summed
images, lazy regularisation and path lengths of the second version (Karras et al., 2020, arXiv:1912.04958).

Shapes: B batch, C channels, H height, W width or size of a style, Z latent dimension, N styles per sample.
Real images are in [-1, 1]. The generator's last layer is linear, so generated values may lie outside this range.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.nn.activations import GAN_SLOPE
from zoo.nn.adversarial import check_penalty, d_cross_entropy, d_outputs, full_precision, g_non_saturating, r1_penalty
from zoo.nn.checks import check_shape, check_sizes
from zoo.nn.codecs import check_codec, halvings
from zoo.nn.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm
from zoo.nn.image_range import as_images
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

ADAM: Optim = {"name": "adam", "betas": [0.0, 0.99], "schedule": "constant"}
PATH_DECAY = 0.99  # of the mean path length


class ModulatedConv2d(nn.Module):
    """Convolution whose weights are scaled by each sample's style: (B, C, H, W) and (B, W) to (B, C', H, W).

    `demodulate` divides the outputs by the deviation that the scaled weights alone would give them (section 2.2 of the second
    paper). Scaling the samples before and after one shared convolution gives the same result as weights per sample.
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
    """Modulated convolution, noise, bias and leaky ReLU. The noise is fixed in evaluation."""

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
        return F.leaky_relu(x + self.noise_strength * noise + self.bias, GAN_SLOPE) * math.sqrt(2)


class StyleBlock(nn.Module):
    """Two styled layers at one resolution: maps (B, C, H, W) to maps, and an image to add to the smaller ones.

    Args:
        in_channels: channels of the incoming maps.
        out_channels: channels of the outgoing maps.
        image_channels: channels of the image.
        style_dim: size of a style.
        size: (H, W); smaller maps are enlarged to it.
    """

    def __init__(self, in_channels: int, out_channels: int, image_channels: int, style_dim: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.first = StyledLayer(in_channels, out_channels, style_dim, size)
        self.second = StyledLayer(out_channels, out_channels, style_dim, size)
        self.to_image = ModulatedConv2d(out_channels, image_channels, 1, style_dim, demodulate=False)
        self.image_bias = nn.Parameter(torch.zeros(image_channels, 1, 1))

    def forward(self, maps: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.second(self.first(resample(maps, self.size), first), second)
        return maps, self.to_image(maps, second) + self.image_bias


class StyleGenerator(nn.Module):
    """Map noise (B, Z) to images (B, C, H, W).

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.
        style_dim: size of a style.
        num_mapping: layers of the mapping network.
        mixing: probability that a training sample uses the styles of a second noise vector from a random layer on.

    Raises:
        ZooError: if a size is out of range.
    """

    mean_style: Tensor

    def __init__(
        self,
        latent_dim: int,
        output_shape: Sequence[int],
        widths: Sequence[int],
        style_dim: int = 64,
        num_mapping: int = 8,
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
        self.mapping = nn.Sequential(PixelNorm(), *(part for layer in mapping for part in (layer, nn.LeakyReLU(GAN_SLOPE))))
        self.start = nn.Parameter(torch.randn(1, dims[0], *sizes[0]))
        self.blocks = nn.ModuleList(
            StyleBlock(fan_in, fan_out, output_shape[0], style_dim, size)
            for (fan_in, fan_out), size in zip(pairwise([dims[0], *dims]), sizes, strict=True)
        )
        self.num_styles = 2 * len(widths)
        self.register_buffer("mean_style", torch.zeros(style_dim))  # for truncation; computed by the system

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        styles = self.styles(z)
        if truncation != 1:
            styles = torch.lerp(self.mean_style.to(styles.dtype), styles, truncation)
        return self.synthesise(styles)

    def styles(self, z: Tensor) -> Tensor:
        """Map noise (B, Z) to styles (B, N, W), two for each resolution. In training, some samples mix two styles."""
        styles = self.mapping(z)[:, None].expand(-1, self.num_styles, -1)
        return self.mix(styles, self.mapping(torch.randn_like(z))) if self.training and self.mixing else styles

    def mix(self, styles: Tensor, others: Tensor) -> Tensor:
        """Replace styles (B, N, W) of some samples by `others` (B, W), from a random layer on."""
        num, layers = len(styles), torch.arange(self.num_styles, device=styles.device)
        first = torch.randint(1, self.num_styles, (num, 1), device=styles.device)
        mixed = torch.rand(num, 1, device=styles.device) < self.mixing
        return torch.where(((layers >= first) & mixed)[:, :, None], others[:, None], styles)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Map styles (B, N, W), two for each resolution, to images (B, C, H, W)."""
        maps, first, *others = self.start.expand(len(styles), -1, -1, -1), *self.blocks
        maps, image = first(maps, styles[:, 0], styles[:, 1])
        for place, block in enumerate(others, start=1):
            maps, more = block(maps, styles[:, 2 * place], styles[:, 2 * place + 1])
            image = more + resample(image, more.shape[2:])
        return image


class StyleDiscriminator(nn.Module):
    """Map images (B, C, H, W) to logits (B,): residual blocks that halve the maps, minibatch deviation, dense layers.

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
            nn.LeakyReLU(GAN_SLOPE),
            *(
                ResidualBlock(fan_in, fan_out, size)
                for (fan_in, fan_out), size in zip(pairwise(widths), sizes[1:], strict=True)
            ),
        )
        self.head = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(widths[-1] + 1, widths[-1], 3),
            nn.LeakyReLU(GAN_SLOPE),
            nn.Flatten(),
            EqualizedLinear(widths[-1] * math.prod(sizes[-1]), widths[-1]),
            nn.LeakyReLU(GAN_SLOPE),
            EqualizedLinear(widths[-1], 1, gain=1.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.head(self.features(x)).squeeze(1)


class ResidualBlock(nn.Module):
    """Two convolutions next to a shortcut, both reduced to `size` (H, W): (B, C, H', W') to (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(
            *(EqualizedConv2d(in_channels, in_channels, 3), nn.LeakyReLU(GAN_SLOPE)),
            *(EqualizedConv2d(in_channels, out_channels, 3), nn.LeakyReLU(GAN_SLOPE)),
        )
        self.shortcut = EqualizedConv2d(in_channels, out_channels, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        smaller = resample(self.layers(x), self.size)
        return (smaller + self.shortcut(resample(x, self.size))) / math.sqrt(2)


def resample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, C, H, W) to `size`. For a factor of two this is the paper's filter [1, 3, 3, 1], except at borders."""
    return x if list(x.shape[2:]) == list(size) else F.interpolate(x, list(size), mode="bilinear", antialias=True)


def path_lengths(generator: StyleGenerator, z: Tensor) -> Tensor:
    """Estimate how fast generated images (B, C, H, W) change with their styles: noise (B, Z) to lengths (B,), differentiable.

    A length is that of J^T y for y ~ N(0, I) / sqrt(H W), where J is the Jacobian of the image with respect to the styles
    (section 3.2 and appendix B of the second paper). Autocast is off here, as in `input_gradient`.
    """
    with full_precision(z.device.type):
        styles = generator.styles(z.float())
        images = generator.synthesise(styles)
        direction = torch.randn_like(images) / math.sqrt(math.prod(images.shape[2:]))
        (gradient,) = torch.autograd.grad((images * direction).sum(), styles, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


class StyleGAN(FromNoise, Adversarial):
    """Styles at every resolution, lazy regularisation of both networks, and samples from the averaged generator.

    Args:
        widths: channels at each resolution, from the largest to the smallest.
        style_dim: size of a style.
        num_mapping: layers of the mapping network.
        mixing: probability that a training sample mixes two styles.
        truncation: scale of a sample's distance from the mean style; less than 1 trades variety for quality (section B of the
            first paper).
        penalty_weight: weight of R1; 0 turns it off.
        penalty_every: iterations from one penalty to the next, which counts for those between (lazy regularisation).
        path_weight: weight of path-length regularisation; 0 turns it off.
        path_every: iterations from one path-length penalty to the next, weighted like `penalty_every`.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    generator: StyleGenerator
    path_length: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = (32, 64, 128),
        style_dim: int = 64,
        num_mapping: int = 8,
        mixing: float = 0.9,
        truncation: float = 1.0,
        penalty_weight: float = 1.0,
        penalty_every: int = 16,
        path_weight: float = 2.0,
        path_every: int = 8,
        lr: float = 2e-3,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.999,
        clip: float | None = None,
    ) -> None:
        if not 0 <= truncation <= 1:
            raise ZooError(f"truncation must lie in [0, 1], got {truncation}")
        check_penalty(penalty_weight, penalty_every)
        check_penalty(path_weight, path_every, "path")
        shape = require("input_shape", input_shape)
        super().__init__(
            generator=StyleGenerator(latent_dim, shape, widths, style_dim, num_mapping, mixing),
            discriminator=StyleDiscriminator(shape, widths),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.truncation, self.penalty_weight, self.penalty_every = truncation, penalty_weight, penalty_every
        self.path_weight, self.path_every = path_weight, path_every
        self.second_order = penalty_weight > 0 or path_weight > 0
        self.register_buffer("path_length", torch.zeros(()))  # running mean, the target of the penalty

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map noise (B, Z) to images (B, C, H, W) in [0, 1], truncated."""
        return as_images(self.net(*inputs, truncation=self.truncation)).clamp(0, 1)

    def d_step(self, batch: Any, progress: Tensor, penalise: bool = True) -> tuple[Tensor, Outputs]:
        """Tell real images from generated ones; in training, with R1 at the real images if `penalise`."""
        real, fake = self.real(batch), self.fake(batch).detach()
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss = d_cross_entropy(real_logits, fake_logits)
        outputs = d_outputs(loss, real_logits, fake_logits)
        if self.training and penalise and self.penalty_weight:
            outputs["penalty"] = r1_penalty(self.discriminator, real)
            loss = loss + self.penalty_weight * self.penalty_every * outputs["penalty"]
        return loss, outputs

    def g_step(self, batch: Any, progress: Tensor, penalise: bool = True) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated images for real ones. In training, `penalise` adds the path-length penalty."""
        loss = g_non_saturating(self.discriminator(self.fake(batch)))
        outputs: Outputs = {"g_loss": loss}
        if self.training and penalise and self.path_weight:
            # Half a batch is enough (appendix B of the second paper).
            lengths = path_lengths(self.generator, self.noise((len(batch.x) + 1) // 2))
            outputs["path_length"] = torch.lerp(lengths.detach().mean(), self.path_length, PATH_DECAY)
            penalty = (lengths - outputs["path_length"]).square().mean()
            loss = loss + self.path_weight * self.path_every * penalty
        return loss, outputs

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        d_step = partial(self.d_step, penalise=iteration % self.penalty_every == 0)
        return [d_step] * len(parts), partial(self.g_step, penalise=iteration % self.path_every == 0)

    def after_backward(self, outputs: Outputs) -> None:
        if "path_length" in outputs:
            self.path_length.copy_(outputs["path_length"])

    @torch.no_grad()
    def refresh_statistics(self) -> None:
        """Compute the mean style, which truncation needs, from a fixed set of 10,000 noise inputs."""
        super().refresh_statistics()
        (z,) = self.example_inputs(10_000)
        for network in self.modules():
            if isinstance(network, StyleGenerator):
                network.mean_style.copy_(network.mapping(z.to(self.device)).mean(0))
