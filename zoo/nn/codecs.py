"""Encoders from images to vectors and decoders back, dense ("mlp") or convolutional ("conv").

Shapes: B batch, C channels, H height, W width, Z code size.
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
# defaults of the autoencoders
ARCHITECTURE: Architecture = "mlp"
WIDTHS = (256,)
ACTIVATION: Activation = "relu"
LATENT_DIM = 64


class Trunk(NamedTuple):
    """The layers of an encoder without its output layer."""

    layers: nn.Sequential  # (B, C, H, W) to (B, num_features)
    num_features: int


def trunk(
    architecture: Architecture,
    input_shape: Sequence[int],
    widths: Sequence[int],
    hidden: int | None = None,
    activation: Activation = ACTIVATION,
) -> Trunk:
    """Build the layers from images (B, C, H, W) to features (B, num_features), each followed by the activation.

    "mlp": one dense layer per width. Without widths the features are the pixels. "conv": one 3x3 convolution of stride 2 per
    width, with that many channels. Each halves the image, rounding up. With `hidden`, a dense layer of that width follows.

    Raises:
        ZooError: if `check_codec` rejects the arguments.
    """
    check_codec(architecture, input_shape, widths, hidden)
    if architecture == "mlp":
        dims = [math.prod(input_shape), *widths]
        return Trunk(nn.Sequential(nn.Flatten(), *_dense(dims, activation)), dims[-1])
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([input_shape[0], *widths]):
        layers += [nn.Conv2d(fan_in, fan_out, 3, stride=2, padding=1), nonlinearity(activation)]
    dims = [math.prod(smallest(input_shape, widths)), *([hidden] if hidden else [])]
    return Trunk(nn.Sequential(*layers, nn.Flatten(), *_dense(dims, activation)), dims[-1])


def decoder(
    architecture: Architecture,
    latent_dim: int,
    widths: Sequence[int],
    output_shape: Sequence[int],
    hidden: int | None = None,
    activation: Activation = ACTIVATION,
    spatial: bool = False,
) -> nn.Sequential:
    """Build a decoder that mirrors `trunk`: codes (B, Z) to images (B, C, H, W), of any range.

    The arguments are those of the encoder, so the widths are used in reverse order. With `spatial`, the code is a flattened map
    (`code_shape`), which a 3x3 convolution reads in place of the dense layers.

    Raises:
        ZooError: if `check_codec` or `code_shape` rejects the arguments.
    """
    check_codec(architecture, output_shape, widths, hidden)
    if architecture == "mlp":
        dims = [latent_dim, *reversed(widths)]
        last = nn.Linear(dims[-1], math.prod(output_shape))
        return nn.Sequential(*_dense(dims, activation), last, nn.Unflatten(1, tuple(output_shape)))
    start = smallest(output_shape, widths)
    layers: list[nn.Module]
    if spatial:
        shape = code_shape(latent_dim, output_shape, widths)
        layers = [nn.Unflatten(1, shape), nn.Conv2d(shape[0], start[0], 3, padding=1), nonlinearity(activation)]
    else:
        dims = [latent_dim, *([hidden] if hidden else []), math.prod(start)]
        layers = [*_dense(dims, activation), nn.Unflatten(1, start)]
    sizes = halvings(output_shape, len(widths))[::-1]
    for (fan_in, fan_out), (height, width) in zip(pairwise([*reversed(widths), output_shape[0]]), sizes[1:], strict=True):
        # a kernel of 4 doubles the size n to 2n, a kernel of 3 gives 2n - 1: together they undo every rounded-up halving
        kernel = 4 - height % 2, 4 - width % 2
        layers += [nn.ConvTranspose2d(fan_in, fan_out, kernel, stride=2, padding=1), nonlinearity(activation)]
    return nn.Sequential(*layers[:-1])


def check_codec(architecture: str, input_shape: Sequence[int], widths: Sequence[int], hidden: int | None = None) -> None:
    """Check that an encoder and a decoder can be built.

    Raises:
        ZooError: if an argument is out of range, or the image is too small.
    """
    check_choice("architecture", architecture, get_args(Architecture))
    if not all(width >= 1 for width in widths):
        raise ZooError(f"widths must be positive, got {list(widths)}")
    if hidden is not None and (hidden < 1 or architecture == "mlp"):
        raise ZooError(f"hidden is the width of a dense layer after convolutions, at least 1, got {hidden} for {architecture}")
    if len(input_shape) != 3:
        raise ZooError(f"expected images (C, H, W), got {tuple(input_shape)}")
    if architecture == "conv":
        if not widths:
            raise ZooError("a convolutional autoencoder needs at least one width")
        if min(input_shape[1:]) < (smallest := 2 ** len(widths)):
            raise ZooError(
                f"{len(widths)} widths halve an image {len(widths)} times, which needs {smallest}x{smallest} pixels or more, "
                f"got {tuple(input_shape)}: use fewer widths"
            )


def _dense(dims: Sequence[int], activation: Activation) -> list[nn.Module]:
    return [layer for pair in pairwise(dims) for layer in (nn.Linear(*pair), nonlinearity(activation))]


def smallest(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width after the last convolution."""
    return (widths[-1], *halvings(shape, len(widths))[-1])


def halvings(shape: Sequence[int], num_halvings: int) -> list[tuple[int, int]]:
    """Return (H, W) of an image (C, H, W) before the first halving and after each one, rounding up."""
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= num_halvings:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def code_shape(latent_dim: int, input_shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int, int]:
    """Return (channels, height, width) of a spatial code of Z numbers, as high and wide as the last convolution's output.

    Raises:
        ZooError: if Z is not a multiple of the number of positions.
    """
    _, height, width = smallest(input_shape, widths)
    if latent_dim % (height * width):
        raise ZooError(f"a spatial code has {height}x{width} positions: latent_dim must be a multiple, got {latent_dim}")
    return latent_dim // (height * width), height, width
