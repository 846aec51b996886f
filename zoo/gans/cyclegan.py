"""CycleGAN: translation between two domains without pairs (Zhu, Park, Isola & Efros, 2017, arXiv:1703.10593).

Shapes: B batch, C channels, H height, W width. Images are in [-1, 1] between the networks, in [0, 1] outside.
A is the domain of x, B the domain of y.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.dcgan import initialise
from zoo.gans.pix2pix import PATCH_WIDTHS, PatchDiscriminator
from zoo.nn.adversarial import d_least_squares, g_least_squares
from zoo.nn.checks import check_halves
from zoo.nn.image_buffer import ImageBuffer
from zoo.nn.image_range import as_images, as_signed
from zoo.nn.norms import MapNorm
from zoo.tasks.adversarial.base import Adversarial
from zoo.tasks.adversarial.rhythm import ADAM
from zoo.tasks.translation.base import Translator
from zoo.training.optim import Optim, merge_optim
from zoo.training.system import Outputs, require


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm, added to their input: (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect", bias=False), nn.InstanceNorm2d(width)]
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """A convolution, halvings, residual blocks, doublings, a convolution: (B, C, H, W) to (B, C, H, W) through tanh.

    The network of Johnson, Alahi & Fei-Fei (2016, arXiv:1603.08155), with instance norm.

    Args:
        input_shape: (C, H, W).
        width: channels at full size; they double with each halving.
        num_halvings: number of halvings before the blocks.
        num_blocks: number of residual blocks.

    Raises:
        ZooError: if the image cannot be halved that often, or a size is out of range.
    """

    def __init__(self, input_shape: Sequence[int], width: int = 64, num_halvings: int = 2, num_blocks: int = 9) -> None:
        super().__init__()
        if min(width, num_blocks) < 1 or num_halvings < 0:
            raise ZooError(
                f"width and num_blocks must be 1 or more and num_halvings 0 or more, got {width}, {num_blocks}, {num_halvings}"
            )
        check_halves(input_shape, num_halvings)
        if min(input_shape[1:]) // 2**num_halvings < 2:
            raise ZooError(f"the residual blocks need maps of 2x2 or more: {tuple(input_shape)} halves fewer times")
        channels, widest = input_shape[0], width * 2**num_halvings
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 7, padding=3, padding_mode="reflect", bias=False)]
        layers += [nn.InstanceNorm2d(width), nn.ReLU()]
        for level in range(num_halvings):
            fan_in = width * 2**level
            layers += [nn.Conv2d(fan_in, 2 * fan_in, 3, stride=2, padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(2 * fan_in), nn.ReLU()]
        layers += [ResidualBlock(widest) for _ in range(num_blocks)]
        for level in range(num_halvings, 0, -1):
            fan_in = width * 2**level
            layers += [nn.ConvTranspose2d(fan_in, fan_in // 2, 3, stride=2, padding=1, output_padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(fan_in // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 7, padding=3, padding_mode="reflect"), nn.Tanh())
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Translators(nn.Module):
    """Both generators: from A to B, and with `back` from B to A."""

    def __init__(self, to_b: nn.Module, to_a: nn.Module) -> None:
        super().__init__()
        self.to_b, self.to_a = to_b, to_a

    def forward(self, x: Tensor, back: bool = False) -> Tensor:
        return self.to_a(x) if back else self.to_b(x)


class Judges(nn.Module):
    """Both discriminators: logits of images of A, and of images of B."""

    def __init__(self, of_a: nn.Module, of_b: nn.Module) -> None:
        super().__init__()
        self.of_a, self.of_b = of_a, of_b

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_a(a), self.of_b(b)


class CycleGAN(Translator, Adversarial):
    """Two generators that undo each other, against a discriminator in each domain, which also sees earlier translations.

    Args:
        width: channels of the generators at full size.
        num_halvings: halvings in each generator.
        num_blocks: residual blocks in each generator.
        d_widths: channels of the discriminators: four see patches of 70 x 70 pixels, three of 34 x 34, two of 16 x 16.
        d_norm: normalisation in the discriminators.
        cycle: weight of the L1 between an image and its translation back. Our least squares are half of the authors', so 5
            equals their 10.
        identity: weight of the L1 between an image and its translation to its own domain, relative to `cycle`.
        buffer_size: number of earlier translations that each discriminator keeps.
        n_critic, accumulate, d_lr, ema, clip: as in `Adversarial`.
    """

    headline = ("test/kept_b", "test/cycle_l1")

    def __init__(
        self,
        input_shape: tuple[int, int, int] | None = None,  # linked from the datamodule
        width: int = 64,
        num_halvings: int = 2,
        num_blocks: int = 9,
        d_widths: Sequence[int] = PATCH_WIDTHS,
        d_norm: MapNorm = "instance",
        cycle: float = 5.0,
        identity: float = 0.5,
        buffer_size: int = 50,
        lr: float = 2e-4,
        optim: Optim | None = None,
        n_critic: int = 1,
        accumulate: int = 1,
        d_lr: float | None = None,
        ema: float = 0.0,
        clip: float | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        if not (cycle >= 0 and identity >= 0):
            raise ZooError(f"cycle and identity are weights of 0 or more, got {cycle} and {identity}")
        super().__init__(
            generator=Translators(*(ResNetGenerator(shape, width, num_halvings, num_blocks) for _ in range(2))),
            discriminator=Judges(*(PatchDiscriminator(shape, 1, d_widths, d_norm) for _ in range(2))),
            lr=lr,
            optim=merge_optim(ADAM, optim),
            n_critic=n_critic,
            accumulate=accumulate,
            d_lr=d_lr,
            ema=ema,
            clip=clip,
        )
        self.save_hyperparameters(logger=False)
        self.cycle, self.identity = cycle, identity
        self.past = nn.ModuleDict({domain: ImageBuffer(shape, buffer_size) for domain in "ab"})

    def back(self, y: Tensor) -> Tensor:
        """Translate images of B (B, C, H, W) in [0, 1] to A."""
        return as_images(self.net(as_signed(y), True))

    def d_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Sum of both discriminators' losses. Outputs `new_*` and `place_*` are images for the buffers, and their places."""
        generator = self.generator if self.training else self.net
        a, b = as_signed(batch.x), as_signed(batch.y)
        fake_a, fake_b = generator(b, True).detach(), generator(a).detach()
        new = {"new_a": fake_a, "new_b": fake_b}
        if self.training:
            fake_a, new["place_a"] = self._buffer("a").query(fake_a)
            fake_b, new["place_b"] = self._buffer("b").query(fake_b)
        real_logits, fake_logits = self.discriminator(a, b), self.discriminator(fake_a, fake_b)
        loss_a, loss_b = (d_least_squares(real, fake) for real, fake in zip(real_logits, fake_logits, strict=True))
        loss = loss_a + loss_b
        d_real, d_fake = (torch.stack([x.float().mean() for x in logits]).mean() for logits in (real_logits, fake_logits))
        return loss, {"d_loss": loss, "d_real": d_real, "d_fake": d_fake, **new}

    def g_step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        """Both generators' losses: deceive, translate back, and leave images of the target domain as they are."""
        generator = self.generator if self.training else self.net
        a, b = as_signed(batch.x), as_signed(batch.y)
        fake_a, fake_b = generator(b, True), generator(a)
        logits_a, logits_b = self.discriminator(fake_a, fake_b)
        deceive = g_least_squares(logits_a) + g_least_squares(logits_b)
        cycle_a, cycle_b = F.l1_loss(generator(fake_b, True), a), F.l1_loss(generator(fake_a), b)
        # L1 is logged for images in [0, 1], where it is half as large.
        outputs = {"g_loss": deceive, "cycle_l1": (cycle_a + cycle_b) / 4, "cycle_l1_a": cycle_a / 2, "cycle_l1_b": cycle_b / 2}
        loss = deceive + self.cycle * (cycle_a + cycle_b)
        if self.identity:
            same = F.l1_loss(generator(a, True), a) + F.l1_loss(generator(b), b)
            outputs["identity_l1"] = same / 4
            loss = loss + self.cycle * self.identity * same
        return loss, outputs

    def after_backward(self, outputs: Outputs) -> None:
        for domain in "ab":
            if f"place_{domain}" in outputs:
                self._buffer(domain).store(outputs[f"new_{domain}"], outputs[f"place_{domain}"])

    def strips(self, batch: Any) -> dict[str, Tensor]:
        there, back = self(batch.x), self.back(batch.y)
        return {
            "a_to_b_to_a": torch.stack([batch.x, there, self.back(there)], dim=1),
            "b_to_a_to_b": torch.stack([batch.y, back, self(back)], dim=1),
        }

    def _buffer(self, domain: str) -> ImageBuffer:
        return self.past[domain]  # type: ignore[return-value]
