"""Progressive growing: training starts with tiny images and fades in one larger resolution after the other.

Karras et al., 2018, arXiv:1710.10196.

Shapes: B batch, C channels, H height, W width, Z latent dimension, L resolutions. Real images are in [-1, 1]. The generator's
last layer is linear, so generated values may lie outside this range.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.activations import GAN_SLOPE
from zoo.nn.adversarial import (
    Loss,
    check_loss,
    check_penalty,
    d_outputs,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from zoo.nn.checks import check_shape, check_sizes, check_stages
from zoo.nn.codecs import halvings
from zoo.nn.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStd, PixelNorm
from zoo.nn.image_range import as_signed
from zoo.tasks.adversarial.base import Adversarial, Step
from zoo.tasks.adversarial.noise import FromNoise
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

ADAM: Optim = {"name": "adam", "betas": [0.0, 0.99], "schedule": "constant"}  # appendix A.1
Penalty = Literal["gradient", "r1"]


class Growing(nn.Module):
    """Base class of a network that grows by levels.

    At level 0 it works at the smallest of its `sizes`. At level 1.5 the third size is half faded in. The level is a buffer, so
    checkpoints store it. The number `top` of the size that is fading in is a plain integer, so that no step waits for the
    device to know which layers to compute.
    """

    level: Tensor

    def __init__(self, output_shape: Sequence[int], num_levels: int) -> None:
        super().__init__()
        self.sizes = halvings(output_shape, num_levels - 1)[::-1]  # (H, W), the smallest first
        self.register_buffer("level", torch.tensor(float(num_levels - 1)))
        self.top = num_levels - 1
        self.register_load_state_dict_post_hook(_grow_to_its_level)  # type: ignore[no-untyped-call]  # torch's

    def grow_to(self, level: float) -> None:
        """Set the level, in 0..L - 1."""
        self.level.fill_(level)
        self.top = math.ceil(level)

    def blend(self, before: Tensor, under_way: Tensor) -> Tensor:
        """Mix maps or images at the current resolution with the enlarged ones from the resolution before."""
        share = self.level - (self.top - 1)  # 0-d; 1 when the current resolution is fully faded in
        return torch.lerp(_resize(before, under_way.shape[2:]), under_way, share.to(under_way.dtype))


def _grow_to_its_level(network: Growing, keys: object) -> None:
    network.grow_to(float(network.level))


class ProgressiveGenerator(Growing):
    """Map noise (B, Z) to images (B, C, H, W). They always have the full size, enlarged from the level's if necessary.

    Args:
        latent_dim: Z.
        output_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(self, latent_dim: int, output_shape: Sequence[int], widths: Sequence[int]) -> None:
        check_sizes(latent_dim, widths)
        check_stages(output_shape, widths)
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
        return _resize(x, self.sizes[-1])


class ProgressiveDiscriminator(Growing):
    """Map images (B, C, H, W) of the full size, reduced to the level's, to logits (B,).

    Args:
        input_shape: (C, H, W).
        widths: channels at each resolution, from the largest to the smallest.

    Raises:
        ZooError: if a size is out of range.
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int]) -> None:
        check_stages(input_shape, widths)
        super().__init__(input_shape, len(widths))
        self.input_shape, dims = tuple(input_shape), [*reversed(widths)]
        self.from_image = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(input_shape[0], dim, 1), nn.LeakyReLU(GAN_SLOPE)) for dim in dims
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(EqualizedConv2d(fan_in, fan_in, 3), nn.LeakyReLU(GAN_SLOPE)),
                *(EqualizedConv2d(fan_in, fan_out, 3), nn.LeakyReLU(GAN_SLOPE)),
            )
            for fan_out, fan_in in pairwise(dims)
        )
        self.end = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(dims[0] + 1, dims[0], 3),
            nn.LeakyReLU(GAN_SLOPE),
            nn.Flatten(),
            EqualizedLinear(dims[0] * math.prod(self.sizes[0]), dims[0]),
            nn.LeakyReLU(GAN_SLOPE),
            EqualizedLinear(dims[0], 1, gain=1.0),
        )

    def fade(self, x: Tensor) -> Tensor:
        """Mix images (B, C, H, W) at the resolution before with the same images at the current one."""
        if self.top == 0:
            return x
        smaller, larger = (F.adaptive_avg_pool2d(x, self.sizes[place]) for place in (self.top - 1, self.top))
        return _resize(self.blend(smaller, larger), self.sizes[-1])

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.score(self.reduce(x))

    def reduce(self, x: Tensor) -> Tensor:
        """Reduce images (B, C, H, W) to the current resolution."""
        return F.adaptive_avg_pool2d(x, self.sizes[self.top])

    def score(self, x: Tensor) -> Tensor:
        """Map images at the current resolution to logits (B,)."""
        maps = self.from_image[self.top](x)
        for place in range(self.top, 0, -1):
            maps = F.adaptive_avg_pool2d(self.blocks[place - 1](maps), self.sizes[place - 1])
            if place == self.top:
                smaller = self.from_image[place - 1](F.adaptive_avg_pool2d(x, self.sizes[place - 1]))
                maps = self.blend(smaller, maps)
        return self.end(maps).squeeze(1)


class ProgressiveGAN(FromNoise, Adversarial):
    """Trains the smallest images first, then fades in images of twice the size. The paper's drift term is left out.

    Args:
        widths: channels at each resolution, from the largest to the smallest. There are as many resolutions as widths.
        growth: share of the training during which the images grow. Each resolution is faded in, then trained as long again.
            The rest of the training is at full size.
        loss: "wasserstein" as in the paper, or for example "non_saturating" together with R1.
        penalty: "gradient" as in WGAN-GP and the paper, or "r1".
        penalty_weight: its weight.
        penalty_every: iterations from one penalty to the next, which counts for those between (lazy regularisation).
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    generator: ProgressiveGenerator
    discriminator: ProgressiveDiscriminator

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        latent_dim: int = 64,
        widths: Sequence[int] = (32, 64, 128),
        growth: float = 0.5,
        loss: Loss = "wasserstein",
        penalty: Penalty = "gradient",
        penalty_weight: float = 10.0,
        penalty_every: int = 1,
        lr: float = 1e-3,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.999,
        clip: float | None = None,
    ) -> None:
        if not 0 <= growth < 1:
            raise ZooError(f"growth is a share of the training, in [0, 1), got {growth}")
        check_loss(loss)
        check_choice("penalty", penalty, get_args(Penalty))
        check_penalty(penalty_weight, penalty_every)
        shape = require("input_shape", input_shape)
        super().__init__(
            generator=ProgressiveGenerator(latent_dim, shape, widths),
            discriminator=ProgressiveDiscriminator(shape, widths),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.growth, self.num_levels = growth, len(widths)
        self.loss: Loss = loss
        self.penalty: Penalty = penalty
        self.penalty_weight, self.penalty_every = penalty_weight, penalty_every
        self.second_order = penalty_weight > 0

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map noise (B, Z) to images (B, C, H, W) in [0, 1]."""
        return super().forward(*inputs).clamp(0, 1)

    def real(self, batch: Any) -> Tensor:
        """Real images, blurred like generated ones while a resolution fades in (figure 2)."""
        return self.discriminator.fade(as_signed(batch.x))

    def d_step(self, batch: Any, progress: Tensor, penalise: bool = True) -> tuple[Tensor, Outputs]:
        """Tell real images from generated ones; in training, with the penalty if `penalise`."""
        real, fake = self.real(batch), self.fake(batch).detach()
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        loss = discriminator_loss(self.loss, real_logits, fake_logits)
        outputs = d_outputs(loss, real_logits, fake_logits)
        if self.training and penalise and self.penalty_weight:
            outputs["penalty"] = self.compute_penalty(real, fake)
            loss = loss + self.penalty_weight * self.penalty_every * outputs["penalty"]
        return loss, outputs

    def compute_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Penalise gradients at the current resolution, where a pixel may stand for sixteen pixels of the full size.

        With respect to the full-size image each of the sixteen would have only a sixteenth of the gradient.
        """
        score, reduce = self.discriminator.score, self.discriminator.reduce
        if self.penalty == "r1":
            return r1_penalty(score, reduce(real))
        return gradient_penalty(score, reduce(real), reduce(fake))

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Make the discriminator take generated images for real ones."""
        loss = generator_loss(self.loss, self.discriminator(self.fake(batch)))
        return loss, {"g_loss": loss}

    def steps(self, parts: list[Any], iteration: int) -> tuple[list[Step], Step]:
        d_step = partial(self.d_step, penalise=iteration % self.penalty_every == 0)
        return [d_step] * len(parts), self.g_step

    def on_train_start(self) -> None:
        super().on_train_start()
        super().on_train_start()
        self._first_level = float(self.generator.level) if self.global_step else 0.0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        # A resumed run with more steps than before is earlier in its schedule, and must not shrink.
        level = max(self._first_level, level_at(self.fraction(), self.growth, self.num_levels))
        for network in self.modules():
            if isinstance(network, Growing):
                network.grow_to(level)


def level_at(progress: float, growth: float, num_levels: int) -> float:
    """Return the level, in 0..num_levels - 1, at a share of the training: constant, fading in, constant, ... equally long."""
    if progress >= growth:
        return num_levels - 1.0
    phase = progress / growth * (2 * num_levels - 2)  # flat at 0, fade, flat at 1, fade, ...
    place, within = divmod(phase, 2)
    return place + max(0.0, within - 1)


def _convolutions(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(
        *(EqualizedConv2d(fan_in, fan_out, 3), nn.LeakyReLU(GAN_SLOPE), PixelNorm()),
        *(EqualizedConv2d(fan_out, fan_out, 3), nn.LeakyReLU(GAN_SLOPE), PixelNorm()),
    )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge images (B, C, H, W) by repeating pixels."""
    return x if list(x.shape[2:]) == list(size) else F.interpolate(x, list(size), mode="nearest")
