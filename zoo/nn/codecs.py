"""Encoders from images to vectors, and decoders back: dense ("mlp") and convolutional ("conv").

Shapes: B batch, C channels, H height, W width, Z numbers of the code.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

from torch import nn

from zoo.errors import ZooError, check_choice
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity

Architecture = Literal["mlp", "conv"]


class Trunk(NamedTuple):
    """The part of an encoder before its last layer."""

    layers: nn.Sequential  # (B, C, H, W) to (B, num_features)
    num_features: int


def trunk(
    architecture: Architecture,
    input_shape: Sequence[int],
    widths: Sequence[int],
    hidden: int | None = None,
    activation: Activation = "relu",
) -> Trunk:
    """Images (B, C, H, W) to features, the activation after each layer.

    "mlp": a hidden layer for each of `widths`; none leaves the pixels. "conv": for each a 3x3 convolution of stride 2, which
    halves the picture (rounded up), with so many channels; then, if given, a dense layer with `hidden` units.

    Raises:
        ZooError: as `check_codec`.
    """
    check_codec(architecture, input_shape, widths, hidden)
    if architecture == "mlp":
        dims = [math.prod(input_shape), *widths]
        return Trunk(nn.Sequential(nn.Flatten(), *_dense(dims, activation)), dims[-1])
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([input_shape[0], *widths]):
        layers += [nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1), nonlinearity(activation)]
    dims = [math.prod(_smallest(input_shape, widths)), *([hidden] if hidden else [])]
    return Trunk(nn.Sequential(*layers, nn.Flatten(), *_dense(dims, activation)), dims[-1])


def decoder(
    architecture: Architecture,
    latent_dim: int,
    widths: Sequence[int],
    output_shape: Sequence[int],
    hidden: int | None = None,
    activation: Activation = "relu",
) -> nn.Sequential:
    """The way back, arguments as for the encoder, `widths` read from their end: codes (B, Z) to images (B, C, H, W), any range.

    Raises:
        ZooError: as `check_codec`.
    """
    check_codec(architecture, output_shape, widths, hidden)
    if architecture == "mlp":
        dims = [latent_dim, *reversed(widths)]
        last = nn.Linear(dims[-1], math.prod(output_shape))
        return nn.Sequential(*_dense(dims, activation), last, nn.Unflatten(1, tuple(output_shape)))
    start = _smallest(output_shape, widths)
    dims = [latent_dim, *([hidden] if hidden else []), math.prod(start)]
    layers: list[nn.Module] = [*_dense(dims, activation), nn.Unflatten(1, start)]
    sizes = halvings(output_shape, len(widths))[::-1]
    for (fan_in, fan_out), (height, width) in zip(pairwise([*reversed(widths), output_shape[0]]), sizes[1:], strict=True):
        # out = 2 in for a kernel of 4, 2 in - 1 for one of 3: so every size is reached that the encoder's halving left behind
        kernel = 4 - height % 2, 4 - width % 2
        layers += [nn.ConvTranspose2d(fan_in, fan_out, kernel, stride=2, padding=1), nonlinearity(activation)]
    return nn.Sequential(*layers[:-1])


def check_codec(architecture: str, input_shape: Sequence[int], widths: Sequence[int], hidden: int | None = None) -> None:
    """Refuse an architecture that cannot be built.

    Raises:
        ZooError: naming the argument.
    """
    check_choice("architecture", architecture, get_args(Architecture))
    if not all(width >= 1 for width in widths):
        raise ZooError(f"widths must be positive, got {list(widths)}")
    if hidden is not None and (hidden < 1 or architecture == "mlp"):
        raise ZooError(f"hidden is the width of a dense layer after convolutions, 1 or more, got {hidden} ({architecture})")
    if len(input_shape) != 3:
        raise ZooError(f"an autoencoder needs images (C, H, W), got {tuple(input_shape)}")
    if architecture == "conv":
        if not widths:
            raise ZooError("a convolutional autoencoder needs at least one of widths")
        if min(input_shape[1:]) < (smallest := 2 ** len(widths)):
            raise ZooError(
                f"{len(widths)} widths halve an image {len(widths)} times, which needs {smallest}x{smallest} pixels or more, "
                f"got {tuple(input_shape)}: give fewer widths"
            )


def _dense(dims: Sequence[int], activation: Activation) -> list[nn.Module]:
    return [layer for pair in pairwise(dims) for layer in (nn.Linear(*pair), nonlinearity(activation))]


def _smallest(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width after the last convolution."""
    return (widths[-1], *halvings(shape, len(widths))[-1])


def halvings(shape: Sequence[int], num_halvings: int) -> list[tuple[int, int]]:
    """(H, W) of an image (C, H, W) before and after each of `num_halvings` halvings, rounded up."""
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= num_halvings:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes
