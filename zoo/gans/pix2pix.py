"""Pix2Pix: image-to-image translation from pairs (Isola, Zhu, Zhou & Efros, 2017, arXiv:1611.07004).

Shapes: B batch, C channels, H height, W width. Images are in [-1, 1] between the networks, in [0, 1] outside.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.dcgan import initialise
from zoo.nn.activations import GAN_SLOPE
from zoo.nn.adversarial import d_cross_entropy, d_outputs, g_non_saturating
from zoo.nn.checks import check_halves
from zoo.nn.image_range import as_signed
from zoo.nn.norms import MapNorm, map_norm
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.tasks.translation.base import Translator
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)
PATCH_WIDTHS = (64, 128, 256, 512)
_NUM_DROPOUT = 3  # layers of the decoder with dropout


class UNet(nn.Module):
    """Encoder and decoder with skip connections: (B, C, H, W) to (B, C, H, W) through tanh.

    4x4 convolutions of stride 2 halve the image once for each width, and transposed ones double it again. Each layer of the
    decoder also receives the encoder's maps of the same size.

    Args:
        input_shape: (C, H, W).
        widths: channels after each halving.
        norm: normalisation after all convolutions but the first, the innermost and the last.
        dropout: dropout in the first three layers of the decoder, the only noise in the generator.

    Raises:
        ZooError: if the image cannot be halved that often, or a value is out of range.
    """

    def __init__(
        self, input_shape: Sequence[int], widths: Sequence[int] = WIDTHS, norm: MapNorm = "batch", dropout: float = 0.5
    ) -> None:
        super().__init__()
        check_halves(input_shape, len(widths))
        if not widths or min(widths) < 1:
            raise ZooError(f"widths must be one or more positive numbers, got {list(widths)}")
        if not 0 <= dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
        channels, innermost = input_shape[0], len(widths) - 1
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (fan_in, fan_out) in enumerate(pairwise([channels, *widths])):
            normed = norm != "none" and 0 < level < innermost  # the innermost map may be a single pixel
            convolution = nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1, bias=not normed)
            before = [nn.LeakyReLU(GAN_SLOPE)] if level else []
            self.down.append(nn.Sequential(*before, convolution, *([map_norm(norm, fan_out)] if normed else [])))
        for level in range(innermost, 0, -1):
            fan_in, fan_out = widths[level] * (1 if level == innermost else 2), widths[level - 1]
            doubling = nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1, bias=norm == "none")
            drop = [nn.Dropout(dropout)] if innermost - level < _NUM_DROPOUT else []
            self.up.append(nn.Sequential(nn.ReLU(), doubling, map_norm(norm, fan_out), *drop))
        last = nn.ConvTranspose2d(widths[0] * (2 if innermost else 1), channels, 4, stride=2, padding=1)
        self.up.append(nn.Sequential(nn.ReLU(), last, nn.Tanh()))
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        x = self.up[0](seen.pop())
        for layer in self.up[1:]:
            x = layer(torch.cat([x, seen.pop()], dim=1))
        return x


class PatchDiscriminator(nn.Module):
    """Score overlapping patches: images (B, C, H, W), several of them concatenated, to logits (B, 1, H', W').

    4x4 convolutions: stride 2 for all `widths` but the last, then two with stride 1. A logit sees `field` x `field` pixels.

    Args:
        input_shape: (C, H, W) of one image.
        num_images: number of images that are scored together.
        widths: channels of all layers but the last.
        norm: normalisation after all convolutions but the first and the last.

    Raises:
        ZooError: if the image is too small for a patch, or a width is out of range.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_images: int = 1,
        widths: Sequence[int] = PATCH_WIDTHS,
        norm: MapNorm = "batch",
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ZooError(f"d_widths must be one or more positive numbers, got {list(widths)}")
        num_halvings = len(widths) - 1
        if min(input_shape[1:]) // 2**num_halvings < 3:  # each convolution of stride 1 removes a pixel
            raise ZooError(
                f"{len(widths)} d_widths need images of {3 * 2**num_halvings}x{3 * 2**num_halvings} pixels or more, "
                f"got {tuple(input_shape)}: give fewer"
            )
        layers: list[nn.Module] = []
        for level, (fan_in, fan_out) in enumerate(pairwise([input_shape[0] * num_images, *widths])):
            normed = norm != "none" and level > 0
            stride = 2 if level < num_halvings else 1
            layers.append(nn.Conv2d(fan_in, fan_out, 4, stride=stride, padding=1, bias=not normed))
            layers += [map_norm(norm, fan_out) if normed else nn.Identity(), nn.LeakyReLU(GAN_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.field = 7  # pixels that a logit sees through the two layers of stride 1
        for _ in range(num_halvings):
            self.field = 2 * self.field + 2
        self.apply(initialise)

    def forward(self, *images: Tensor) -> Tensor:
        return self.layers(torch.cat(images, dim=1))


class Pix2Pix(Translator, Adversarial):
    """A U-Net against a discriminator of patches, which sees input and output together. L1 pulls both towards the target.

    Dropout is off in evaluation, so that an image has one translation; the authors leave it on.

    Args:
        widths: channels of the U-Net, one for each halving.
        d_widths: channels of the discriminator: four see patches of 70 x 70 pixels, three of 34 x 34, two of 16 x 16.
        norm: normalisation in both networks.
        dropout: dropout in the U-Net.
        l1: weight of the mean absolute difference from the target, in [-1, 1].
        adversarial: weight of the discriminator's judgement; with 0 the U-Net learns from L1 alone.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    headline = "test/fd_patches_translations"

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        widths: Sequence[int] = WIDTHS,
        d_widths: Sequence[int] = PATCH_WIDTHS,
        norm: MapNorm = "batch",
        dropout: float = 0.5,
        l1: float = 100.0,
        adversarial: float = 1.0,
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        if not (l1 >= 0 and adversarial >= 0 and l1 + adversarial > 0):
            raise ZooError(f"l1 and adversarial are weights of 0 or more, not both 0, got {l1} and {adversarial}")
        if ema and norm == "batch":
            raise ZooError(f"ema {ema} averages weights, to which no statistics of BatchNorm belong: set norm: instance")
        super().__init__(
            generator=UNet(shape, widths, norm, dropout),
            discriminator=PatchDiscriminator(shape, 2, d_widths, norm),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.l1, self.adversarial = l1, adversarial

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        return (as_signed(batch.x),)

    def real(self, batch: Any) -> Tensor:
        return as_signed(batch.y)

    def fake(self, batch: Any) -> Tensor:
        """Translate a batch, as the discriminator sees it: images in [-1, 1]."""
        generator = self.generator if self.training else self.net
        return generator(as_signed(batch.x))

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Tell pairs of input and target from pairs of input and translation."""
        x, real, fake = as_signed(batch.x), self.real(batch), self.fake(batch).detach()
        real_logits, fake_logits = self.discriminator(real, x), self.discriminator(fake, x)
        loss = d_cross_entropy(real_logits, fake_logits)
        return loss, d_outputs(loss, real_logits, fake_logits)

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Come close to the target, and make the discriminator take the translation for it."""
        fake = self.fake(batch)
        distance = F.l1_loss(fake, self.real(batch))
        outputs, loss = {"l1": distance / 2}, self.l1 * distance  # "l1" is logged for images in [0, 1]
        if self.adversarial:
            outputs["g_loss"] = g_non_saturating(self.discriminator(fake, as_signed(batch.x)))
            loss = loss + self.adversarial * outputs["g_loss"]
        return loss, outputs
