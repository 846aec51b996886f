"""CycleGAN: translation between two domains without pairs (Zhu, Park, Isola & Efros, 2017, arXiv:1703.10593).

Shapes: B batch, C H W image in [-1, 1] between the players, in [0, 1] outside. A is the domain of x, B that of y.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.gans.dcgan import initialise
from zoo.gans.pix2pix import PATCH_WIDTHS, PatchDiscriminator
from zoo.nn.adversarial import discriminator_loss, generator_loss
from zoo.nn.checks import check_halves
from zoo.nn.image_buffer import ImageBuffer
from zoo.nn.norms import MapNorm
from zoo.tasks.abilities import TranslatesBack
from zoo.tasks.adversarial.base import Game, as_images, as_signed
from zoo.tasks.translation.base import Translator
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm, whose result is added: (B, C, H, W) to the same."""

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

    After Johnson, Alahi & Fei-Fei (2016, arXiv:1603.08155), with instance norm.

    Args:
        input_shape: (C, H, W).
        width: channels at full size, twice as many after each halving.
        num_halvings: before the blocks.
        num_blocks: of two convolutions each.

    Raises:
        ZooError: for sizes that do not halve so often.
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
    """One player: the way from A to B, and with `back` the way from B to A."""

    def __init__(self, to_b: nn.Module, to_a: nn.Module) -> None:
        super().__init__()
        self.to_b, self.to_a = to_b, to_a

    def forward(self, x: Tensor, back: bool = False) -> Tensor:
        return self.to_a(x) if back else self.to_b(x)


class Judges(nn.Module):
    """The other player: one discriminator for each domain; logits of images of A, and of images of B."""

    def __init__(self, of_a: nn.Module, of_b: nn.Module) -> None:
        super().__init__()
        self.of_a, self.of_b = of_a, of_b

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_a(a), self.of_b(b)


class CycleGAN(Translator, TranslatesBack):
    """Two generators that undo each other, against a discriminator in each domain, which also sees images of the past.

    Args:
        width: of the generators, at full size.
        num_halvings: before their residual blocks.
        num_blocks: of each generator.
        d_widths: of the discriminators; four judge patches of 70 x 70 pixels, three of 34, two of 16.
        d_norm: of the discriminators.
        cycle: weight of the L1 between an image and what comes back of it. Our least squares are half of the authors', so that
            5 is as much as their 10.
        identity: weight of the L1 between an image and what its own domain's generator makes of it, as a share of `cycle`.
        buffer_size: images that each discriminator's memory holds.
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
        game: Game | None = None,
    ) -> None:
        shape = require("input_shape", input_shape)
        if not (cycle >= 0 and identity >= 0):
            raise ZooError(f"cycle and identity are weights of 0 or more, got {cycle} and {identity}")
        translators = Translators(*(ResNetGenerator(shape, width, num_halvings, num_blocks) for _ in range(2)))
        judges = Judges(*(PatchDiscriminator(shape, 1, d_widths, d_norm) for _ in range(2)))
        super().__init__(translators, judges, lr, optim, game, rules={"loss": "least_squares"})
        if self.game["penalty"] is not None:
            raise ZooError(f"CycleGAN's discriminators have no penalty, got {self.game['penalty']!r}: leave game.penalty out")
        if not self.game["redraw"]:
            raise ZooError("CycleGAN's generators translate anew in their own turn: leave game.redraw out")
        self.save_hyperparameters(logger=False)
        self.cycle, self.identity = cycle, identity
        self.past = nn.ModuleDict({domain: ImageBuffer(shape, buffer_size) for domain in "ab"})

    def back(self, y: Tensor) -> Tensor:
        """Images of B (B, C, H, W) in [0, 1] to images of A."""
        return as_images(self.net(as_signed(y), True))

    def d_step(self, batch: Any, progress: Tensor, penalise: bool = True, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """The sum of both discriminators' losses; `new_*` and `place_*` are what the buffers are to keep."""
        generator = self.player
        a, b = as_signed(batch.x), as_signed(batch.y)
        with torch.no_grad():
            new = {"new_a": generator(b, True), "new_b": generator(a)}
        if self.training:
            (fake_a, place_a), (fake_b, place_b) = (self._buffer(domain).query(new[f"new_{domain}"]) for domain in "ab")
            new |= {"place_a": place_a, "place_b": place_b}
        else:
            fake_a, fake_b = new["new_a"], new["new_b"]
        real, fake = self.discriminator(a, b), self.discriminator(fake_a, fake_b)
        losses = [discriminator_loss(self.game["loss"], r, f) for r, f in zip(real, fake, strict=True)]
        loss = losses[0] + losses[1]
        means = (torch.stack([logits.float().mean() for logits in pair]).mean() for pair in (real, fake))
        return loss, {"d_loss": loss, **dict(zip(("d_real", "d_fake"), means, strict=True)), **new}

    def g_step(self, batch: Any, progress: Tensor, fake: Tensor | None = None) -> tuple[Tensor, Outputs]:
        """Both generators' losses: to deceive, to come back, and to leave alone what is of the domain already."""
        generator = self.player
        a, b = as_signed(batch.x), as_signed(batch.y)
        fake_a, fake_b = generator(b, True), generator(a)
        of_a, of_b = self.discriminator(fake_a, fake_b)
        deceive = generator_loss(self.game["loss"], of_a) + generator_loss(self.game["loss"], of_b)
        cycle_a, cycle_b = F.l1_loss(generator(fake_b, True), a), F.l1_loss(generator(fake_a), b)
        outputs = {"g_loss": deceive, "cycle_l1": (cycle_a + cycle_b) / 4, "cycle_l1_a": cycle_a / 2, "cycle_l1_b": cycle_b / 2}
        loss = deceive + self.cycle * (cycle_a + cycle_b)
        if self.identity:
            same = F.l1_loss(generator(a, True), a) + F.l1_loss(generator(b), b)
            outputs["identity_l1"] = same / 4
            loss = loss + self.cycle * self.identity * same
        return loss, outputs

    def keep(self, outputs: Outputs) -> None:
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
