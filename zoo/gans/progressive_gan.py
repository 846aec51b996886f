"""Progressive growing: both players start with tiny images and fade in one resolution after the other.

Karras et al., 2018, arXiv:1710.10196. Shapes: B batch, C H W image in [-1, 1], Z noise, L resolutions.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.gan import SLOPE, check_sizes
from zoo.nn.checks import check_halves, check_shape
from zoo.nn.codecs import check_codec, halvings
from zoo.nn.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm
from zoo.tasks.adversarial.base import Adversarial, Game
from zoo.training.optim import Optim
from zoo.training.system import require


class Growing(nn.Module):
    """A network that has come to a level: at 0 it knows the smallest of its `sizes`, at 1.5 it is between the second and third.

    The level is a buffer, so that a checkpoint knows it. What is computed depends on the resolution under way, a plain
    number, so that no step waits for the device.
    """

    level: Tensor

    def __init__(self, output_shape: Sequence[int], num_levels: int) -> None:
        super().__init__()
        self.sizes = halvings(output_shape, num_levels - 1)[::-1]  # (H, W), the smallest first
        self.register_buffer("level", torch.tensor(float(num_levels - 1)))
        self.top = num_levels - 1
        self.register_load_state_dict_post_hook(_grow_to_its_level)  # type: ignore[no-untyped-call]  # torch's

    def grow_to(self, level: float) -> None:
        """Go to a level, in 0..L - 1."""
        self.level.fill_(level)
        self.top = math.ceil(level)

    def blend(self, before: Tensor, under_way: Tensor) -> Tensor:
        """Maps or images of the resolution under way, as much as has come of it; the rest is of the one before, enlarged."""
        share = self.level - (self.top - 1)  # 0-d, 1 when it has come
        return torch.lerp(_resize(before, under_way.shape[2:]), under_way, share.to(under_way.dtype))


def _grow_to_its_level(network: Growing, keys: object) -> None:
    network.grow_to(float(network.level))


class ProgressiveGenerator(Growing):
    """Noise (B, Z) to images (B, C, H, W): always of the full size, if need be enlarged from the level's.

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.

    Raises:
        ZooError: for arguments that cannot work.
    """

    def __init__(self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int]) -> None:
        check_sizes(latent_dim, widths)
        check_growth(output_shape, widths)
        super().__init__(output_shape, len(widths))
        dims, start = [*reversed(widths)], self.sizes[0]
        first = EqualizedLinear(latent_dim, dims[0] * start[0] * start[1])
        self.start = nn.Sequential(PixelNorm(), first, nn.Unflatten(1, (dims[0], *start)))
        self.blocks = nn.ModuleList(_convolutions(fan_in, fan_out) for fan_in, fan_out in pairwise([dims[0], *dims]))
        self.to_image = nn.ModuleList(EqualizedConv2d(dim, output_shape[0], 1, gain=1.0) for dim in dims)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.start(z)
        for place in range(self.top + 1):
            before, maps = maps, self.blocks[place](_resize(maps, self.sizes[place]))
        x = self.to_image[self.top](maps)
        if self.top > 0:
            x = self.blend(self.to_image[self.top - 1](before), x)
        return torch.tanh(_resize(x, self.sizes[-1]))


class ProgressiveDiscriminator(Growing):
    """Images (B, C, H, W) of the full size, which are reduced to the level's, to logits (B,).

    Args:
        input_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.

    Raises:
        ZooError: for arguments that cannot work.
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int]) -> None:
        check_growth(input_shape, widths)
        super().__init__(input_shape, len(widths))
        self.input_shape, dims = tuple(input_shape), [*reversed(widths)]
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(input_shape[0], dim, 1), nn.LeakyReLU(SLOPE)) for dim in dims
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(EqualizedConv2d(fan_in, fan_in, 3), nn.LeakyReLU(SLOPE)),
                *(EqualizedConv2d(fan_in, fan_out, 3), nn.LeakyReLU(SLOPE)),
            )
            for fan_out, fan_in in pairwise(dims)
        )
        self.end = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(dims[0] + 1, dims[0], 3),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            EqualizedLinear(dims[0] * math.prod(self.sizes[0]), 1, gain=1.0),
        )

    def fade(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) between what the resolution before shows of them and what the one under way does."""
        if self.top == 0:
            return x
        smaller, larger = (F.adaptive_avg_pool2d(x, self.sizes[place]) for place in (self.top - 1, self.top))
        return _resize(self.blend(smaller, larger), self.sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.judge(self.reduce(x))

    def reduce(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) at the resolution under way."""
        return F.adaptive_avg_pool2d(x, self.sizes[self.top])

    def judge(self, x: Tensor) -> Tensor:
        """Images of the resolution under way to logits (B,)."""
        maps = self.from_image[self.top](x)
        for place in range(self.top, 0, -1):
            maps = F.adaptive_avg_pool2d(self.blocks[place - 1](maps), self.sizes[place - 1])
            if place == self.top:
                smaller = self.from_image[place - 1](F.adaptive_avg_pool2d(x, self.sizes[place - 1]))
                maps = self.blend(smaller, maps)
        return self.end(maps).squeeze(1)


class ProgressiveGAN(Adversarial):
    """Trains the smallest images first, then fades in what is twice as large. Without the paper's drift term (appendix A.1).

    Args:
        widths: channels at each resolution, from the largest to the smallest; as many resolutions as there are widths.
        growth: share of the training in which the images grow: each resolution is faded in, then kept as long. The rest is
            at full size.
    """

    generator: ProgressiveGenerator
    discriminator: ProgressiveDiscriminator

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = (32, 64, 128),
        growth: float = 0.5,
        lr: float = 1e-3,
        optim: Optim | None = None,
        game: Game | None = None,
    ) -> None:
        if not 0 <= growth < 1:
            raise ZooError(f"growth is a share of the training, in [0, 1), got {growth}")
        shape = require("input_shape", input_shape)
        nets = ProgressiveGenerator(latent_dim, shape, widths), ProgressiveDiscriminator(shape, widths)
        adam: Optim = {"name": "adam", "betas": [0.0, 0.99], "schedule": "constant"}
        rules: Game = {"loss": "wasserstein", "penalty": "gradient", "ema": 0.999}
        super().__init__(*nets, lr, optim, game, rules, adam)
        self.save_hyperparameters(logger=False)
        self.growth, self.num_levels = growth, len(widths)

    def real(self, batch: Any) -> Tensor:
        """Real images, as blurred as those that the generator makes while a resolution fades in (figure 2)."""
        return self.discriminator.fade(super().real(batch))

    def penalty(self, real: Tensor, fake: Tensor, *given: Tensor) -> Tensor:
        """Of images at the resolution under way: a pixel that stands for sixteen has sixteen times their gradient."""
        judge, reduce = self.discriminator.judge, self.discriminator.reduce
        return self.penalty_of(judge, reduce(real), reduce(fake))

    def on_train_start(self) -> None:
        super().on_train_start()
        self._come_to = float(self.generator.level) if self.global_step else 0.0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        level = max(self._come_to, level_at(self.fraction(), self.growth, self.num_levels))  # a longer fit shrinks nothing
        for network in self.modules():
            if isinstance(network, Growing):
                network.grow_to(level)


def level_at(progress: float, growth: float, num_levels: int) -> float:
    """The level, in 0..num_levels - 1, at a share of the training: flat, then steps that fade in and are flat, equally long."""
    if progress >= growth:
        return num_levels - 1.0
    phase = progress / growth * (2 * num_levels - 2)  # flat at 0, fade, flat at 1, fade, ...
    place, within = divmod(phase, 2)
    return place + max(0.0, within - 1)


def check_growth(shape: Sequence[int], widths: Sequence[int]) -> None:
    """Refuse images that cannot grow from as many halvings.

    Raises:
        ZooError: naming shape and widths.
    """
    check_sizes(1, widths)
    check_codec("conv", shape, widths)
    check_halves(shape, len(widths) - 1)  # of 7 pixels there are neither two times 3.5 nor 28 by fours of the same


def _convolutions(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(
        *(EqualizedConv2d(fan_in, fan_out, 3), nn.LeakyReLU(SLOPE), PixelNorm()),
        *(EqualizedConv2d(fan_out, fan_out, 3), nn.LeakyReLU(SLOPE), PixelNorm()),
    )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Each pixel as often as it takes."""
    return x if list(x.shape[2:]) == list(size) else F.interpolate(x, list(size), mode="nearest")
