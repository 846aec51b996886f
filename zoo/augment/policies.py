"""RandAugment and TrivialAugment: random changes of shape and colour, drawn for each image.

Cubuk, Zoph, Shlens & Le, 2020, RandAugment, arXiv:1909.13719. Müller & Hutter, 2021, TrivialAugment, arXiv:2103.10158.
Operations and strengths are torchvision's, including nearest interpolation and black outside the image.

Shapes: B batch, C = 1 or 3 channels, H height, W width. A level numbers a strength and a sign: twice the strength's bin, plus 1
for the negative sign.
"""

import math

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from zoo.augment import colour
from zoo.augment.geometry import warp

NUM_BINS = 31
GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
BLENDS = ("Brightness", "Color", "Contrast", "Sharpness")
OPERATIONS = ("Identity", *GEOMETRY, *BLENDS, "Posterize", "Solarize", "AutoContrast", "Equalize")


class Policy:
    """The operations for images of one size, each with its largest strength.

    Args:
        shear: largest shear of an image, as a share of its side.
        translate: largest shifts to the right and down, in pixels.
        degrees: largest rotation.
        blend: largest change of brightness, colour, contrast and sharpness.
        bits: largest number of bits that posterize removes.
        height: H.
        width: W.
    """

    def __init__(
        self, shear: float, translate: tuple[float, float], degrees: float, blend: float, bits: int, height: int, width: int
    ) -> None:
        ends = (shear, shear, *translate, degrees, *[blend] * len(BLENDS))
        table = torch.zeros(len(OPERATIONS), 2 * NUM_BINS, 6, dtype=torch.float64)
        for name, end in zip((*GEOMETRY, *BLENDS), ends, strict=True):
            # Strengths are float32 as torchvision's; what follows from them is computed in float64 and rounded once.
            for place, strength in enumerate(torch.linspace(0.0, end, NUM_BINS).tolist()):
                for negative, signed in enumerate((strength, -strength)):
                    row = _matrix(name, signed, height, width) if name in GEOMETRY else (1 + signed, -signed, 0, 0, 0, 0)
                    table[OPERATIONS.index(name), 2 * place + negative] = torch.tensor(row, dtype=torch.float64)
        removed = (torch.arange(NUM_BINS) / ((NUM_BINS - 1) / bits)).round().long()
        table[OPERATIONS.index("Posterize"), :, 0] = (256 - 2**removed).repeat_interleave(2).double()
        table[OPERATIONS.index("Solarize"), :, 0] = 255 * torch.linspace(1, 0, NUM_BINS).repeat_interleave(2).double()
        self._table = table.float()

    def apply(self, x: Tensor, operation: Tensor, level: Tensor) -> Tensor:
        """Apply the operation (B,) at a level (B,) to each uint8 image (B, C, H, W). Waits for the device once."""
        if self._table.device != x.device:
            self._table = self._table.to(x.device)
        order = operation.argsort(stable=True)
        counts = operation.bincount(minlength=len(OPERATIONS)).tolist()
        first, last = OPERATIONS.index(GEOMETRY[0]), OPERATIONS.index(GEOMETRY[-1])
        sizes = [*counts[:first], sum(counts[first : last + 1]), *counts[last + 1 :]]
        names = [*OPERATIONS[:first], "warp", *OPERATIONS[last + 1 :]]
        strengths = self._table[operation[order], level[order]]
        parts = zip(names, torch.split(x.index_select(0, order), sizes), torch.split(strengths, sizes), strict=True)
        changed = torch.cat([_change(name, part, strength) for name, part, strength in parts if len(part)])
        return changed.index_select(0, order.argsort())


class RandAugment(Policy):
    """Apply `num_ops` random operations to each image, all at one strength.

    Args:
        height: H.
        width: W.
        num_ops: operations per image.
        magnitude: strength, the number of a bin from 0 to 30.
    """

    def __init__(self, height: int, width: int, num_ops: int, magnitude: int) -> None:
        largest = 150.0 / 331.0  # of the side, in the authors' code
        super().__init__(0.3, (largest * width, largest * height), 30.0, 0.9, 4, height, width)
        self.num_ops, self.magnitude = num_ops, magnitude
        self.num_draws = 2 * num_ops

    def __call__(self, x: Tensor, draws: Tensor) -> Tensor:
        """Change uint8 images (B, C, H, W) by uniform draws (B, num_draws) in [0, 1)."""
        for draw in draws.view(len(x), self.num_ops, 2).unbind(1):
            x = self.apply(x, _choose(draw[:, 0], len(OPERATIONS)), 2 * self.magnitude + _choose(draw[:, 1], 2))
        return x


class TrivialAugment(Policy):
    """Apply one random operation at a random strength to each image.

    Args:
        height: H.
        width: W.
    """

    num_draws = 2

    def __init__(self, height: int, width: int) -> None:
        super().__init__(0.99, (32.0, 32.0), 135.0, 0.99, 6, height, width)

    def __call__(self, x: Tensor, draws: Tensor) -> Tensor:
        """Change uint8 images (B, C, H, W) by uniform draws (B, num_draws) in [0, 1)."""
        return self.apply(x, _choose(draws[:, 0], len(OPERATIONS)), _choose(draws[:, 1], 2 * NUM_BINS))


def _choose(draw: Tensor, num: int) -> Tensor:
    """Convert uniform draws in [0, 1) to whole numbers below `num`."""
    return (draw * num).long()


def _matrix(name: str, strength: float, height: int, width: int) -> tuple[float, ...]:
    """Return the matrix (2 x 3, row by row) of an operation in GEOMETRY. Shears keep the upper left corner in place."""
    match name:
        case "ShearX":
            return 1, strength, strength * height / 2, 0, 1, 0
        case "ShearY":
            return 1, 0, 0, strength, 1, strength * width / 2
        case "TranslateX":
            return 1, 0, -int(strength), 0, 1, 0
        case "TranslateY":
            return 1, 0, 0, 0, 1, -int(strength)
        case "Rotate":
            cos, sin = math.cos(math.radians(strength)), math.sin(math.radians(strength))
            return cos, -sin, 0, sin, cos, 0
        case _:
            raise ValueError(f"{name} is not an operation of geometry: expected one of {', '.join(GEOMETRY)}")


def _change(name: str, x: Tensor, strength: Tensor) -> Tensor:
    """Apply one operation, or "warp", to images (B, C, H, W), given their rows of the table (B, 6)."""
    first, second = strength[:, 0], strength[:, 1]
    match name:
        case "Identity":
            return x
        case "warp":
            return warp(x, strength.view(-1, 2, 3), "nearest")
        case "Brightness":
            return colour.brightness(x, first)
        case "Color":
            return colour.saturation(x, first, second)
        case "Contrast":
            return colour.contrast(x, first, second)
        case "Sharpness":
            return colour.sharpness(x, first, second)
        case "Posterize":
            return colour.posterize(x, first)
        case "Solarize":
            return colour.solarize(x, first)
        case "AutoContrast":
            return F.autocontrast(x)
        case "Equalize":
            return F.equalize(x)
        case _:
            raise ValueError(f"{name} is not an operation: expected one of {', '.join(OPERATIONS)}")
