"""Pix2Pix: image-to-image translation from pairs (Isola, Zhu, Zhou & Efros, 2017, arXiv:1611.07004).

Shapes: B batch, C H W image in [-1, 1] between the players, in [0, 1] outside.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.dcgan import initialise
from zoo.gans.gan import SLOPE
from zoo.nn.adversarial import generator_loss
from zoo.nn.checks import check_halves
from zoo.nn.norms import MapNorm, map_norm
from zoo.tasks.adversarial.base import Game, as_signed
from zoo.tasks.translation.base import Translator
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)
PATCH_WIDTHS = (64, 128, 256, 512)
_NUM_DROPOUT = 3  # layers of the way up


class UNet(nn.Module):
    """Halves an image for each of `widths`, and doubles it again, with what the way down saw beside what comes up.

    4x4 convolutions of stride 2 down, transposed ones up; (B, C, H, W) to (B, C, H, W) through tanh.

    Args:
        input_shape: (C, H, W).
        widths: channels after each halving.
        norm: after all convolutions but the first, the innermost and the last.
        dropout: in the first three layers of the way up; it is all the noise there is.

    Raises:
        ZooError: for sizes that do not halve so often.
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
            before = [nn.LeakyReLU(SLOPE)] if level else []
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
    """Judges every patch by itself: images (B, C, H, W), concatenated where there are several, to logits (B, 1, H', W').

    4x4 convolutions: of stride 2 for all `widths` but the last, then two of stride 1. A logit sees `field` pixels a side.

    Args:
        input_shape: (C, H, W) of an image.
        num_images: that are judged together.
        widths: channels of all layers but the last.
        norm: after all convolutions but the first and the last.

    Raises:
        ZooError: for images without a patch.
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
        if min(input_shape[1:]) // 2**num_halvings < 3:  # each convolution of stride 1 takes a pixel away
            raise ZooError(
                f"{len(widths)} d_widths need images of {3 * 2**num_halvings}x{3 * 2**num_halvings} pixels or more, "
                f"got {tuple(input_shape)}: give fewer"
            )
        layers: list[nn.Module] = []
        for level, (fan_in, fan_out) in enumerate(pairwise([input_shape[0] * num_images, *widths])):
            normed = norm != "none" and level > 0
            stride = 2 if level < num_halvings else 1
            layers.append(nn.Conv2d(fan_in, fan_out, 4, stride=stride, padding=1, bias=not normed))
            layers += [map_norm(norm, fan_out) if normed else nn.Identity(), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.field = 7  # of the two layers of stride 1
        for _ in range(num_halvings):
            self.field = 2 * self.field + 2
        self.apply(initialise)

    def forward(self, *images: Tensor) -> Tensor:
        return self.layers(torch.cat(images, dim=1))


class Pix2Pix(Translator):
    """A U-Net against a discriminator that sees patches of input and output together; both are held to the target by L1.

    Dropout is off in evaluation, so that an image has one translation; the authors leave it on.

    Args:
        widths: of the U-Net, one for each halving.
        d_widths: of the discriminator; four judge patches of 70 x 70 pixels, three of 34, two of 16.
        l1: weight of the mean absolute difference from the target, in [-1, 1].
        adversarial: weight of the discriminator's judgement; with 0 the U-Net learns by L1 alone, and the other only watches.
    """

    headline = "test/l1"

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
        game: Game | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        if not (l1 >= 0 and adversarial >= 0 and l1 + adversarial > 0):
            raise ZooError(f"l1 and adversarial are weights of 0 or more, not both 0, got {l1} and {adversarial}")
        generator, discriminator = UNet(shape, widths, norm, dropout), PatchDiscriminator(shape, 2, d_widths, norm)
        super().__init__(generator, discriminator, lr, optim, game)
        if self.average is not None and norm == "batch":
            raise ZooError(
                f"game.ema {self.game['ema']} averages weights, to which no statistics of BatchNorm belong: set norm: instance"
            )
        self.save_hyperparameters(logger=False)
        self.l1, self.adversarial = l1, adversarial

    def condition(self, batch: Any) -> tuple[Tensor, ...]:
        return (as_signed(batch.x),)

    def real(self, batch: Any) -> Tensor:
        return as_signed(batch.y)

    def fake(self, batch: Any) -> Tensor:
        return self.player(as_signed(batch.x))

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        fake = self.fake(batch) if fake is None else fake
        distance = F.l1_loss(fake, self.real(batch))
        outputs, loss = {"l1": distance / 2}, self.l1 * distance
        if self.adversarial:
            outputs["g_loss"] = generator_loss(self.game["loss"], self.discriminator(fake, *self.condition(batch)))
            loss = loss + self.adversarial * outputs["g_loss"]
        return loss, outputs
