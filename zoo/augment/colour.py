"""Changes of colour in uint8 images, with one strength per image. All equal torchvision's functions of the same names.

Shapes: B batch, C = 1 or 3 channels, H height, W width. Strengths are (B,).
"""

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply images by their factors: 0 is black, 1 changes nothing."""
    return _cut(x * _each(factor))


def contrast(x: Tensor, factor: Tensor, rest: Tensor | None = None) -> Tensor:
    """Blend images with their mean grey: 0 is grey, 1 changes nothing. `rest` is 1 - factor in higher precision."""
    grey = F.rgb_to_grayscale(x) if x.shape[1] == 3 else x
    mean = grey.float().mean((1, 2, 3), keepdim=True)
    return _cut((x * _each(factor)).addcmul(mean, _each(1 - factor if rest is None else rest)))


def saturation(x: Tensor, factor: Tensor, rest: Tensor | None = None) -> Tensor:
    """Blend images with their grey versions: 0 is grey, 1 changes nothing. `rest` is 1 - factor in higher precision."""
    if x.shape[1] == 1:
        return x
    grey = F.rgb_to_grayscale(x).float()
    return _cut((x * _each(factor)).addcmul(grey, _each(1 - factor if rest is None else rest)))


def sharpness(x: Tensor, factor: Tensor, rest: Tensor | None = None) -> Tensor:
    """Blend images with blurred versions: 0 is blurred, 1 changes nothing. `rest` is 1 - factor in higher precision."""
    blurred, x = F.adjust_sharpness(x, 0.0).float(), x.float()
    return _cut(x.addcmul(blurred - x, _each(1 - factor if rest is None else rest)))


def hue(x: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue of RGB images by shares of the colour circle, in [-0.5, 0.5]."""
    rgb = x.float() / 255
    value, strongest = rgb.max(1)
    chroma = value - rgb.amin(1)
    red, green, blue = rgb.unbind(1)
    ahead = torch.stack([green - blue, blue - red, red - green], dim=1).gather(1, strongest[:, None])[:, 0]
    sextant = ahead / chroma.clamp(min=torch.finfo(chroma.dtype).tiny) + 2 * strongest + 6 * shift[:, None, None]
    # Each channel falls from the value to the value minus chroma, one third of the circle away from its own hue.
    distance = torch.stack([(sextant + start) % 6 for start in (5, 3, 1)], dim=1)
    fall = torch.minimum(distance, 4 - distance).clamp(0, 1)
    return ((value[:, None] - chroma[:, None] * fall) * 255).round().to(x.dtype)


def posterize(x: Tensor, mask: Tensor) -> Tensor:
    """Keep the bits of each pixel that an image's mask has, such as 0b11110000 for the four highest."""
    return x & _each(mask.to(x.dtype))


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels that are at least as bright as an image's threshold."""
    return torch.where(x >= _each(threshold), 255 - x, x)


def _each(strength: Tensor) -> Tensor:
    return strength[:, None, None, None]


def _cut(x: Tensor) -> Tensor:
    """Convert to uint8 without rounding, as torchvision does."""
    return x.clamp(0, 255).to(torch.uint8)
