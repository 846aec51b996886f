"""Encoders and decoders fit together for images of any size."""

import math

import pytest
import torch
from torch import nn

from zoo.nn.codecs import Architecture, check_codec, decoder, trunk


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 9, 13), (1, 31, 18)])
@pytest.mark.parametrize("widths", [[6], [6, 4], [6, 4, 5]])
def test_decoded_images_have_the_shape_of_the_input(
    architecture: Architecture, shape: tuple[int, ...], widths: list[int]
) -> None:
    x = torch.rand(2, *shape)
    layers, num_features = trunk(architecture, shape, widths)
    assert layers(x).shape == (2, num_features)
    assert decoder(architecture, 7, widths, shape)(torch.randn(2, 7)).shape == x.shape


def test_each_convolution_halves_the_image_rounding_up() -> None:
    layers, num_features = trunk("conv", (1, 28, 28), [3, 5, 7])
    assert num_features == 7 * 4 * 4  # 28, 14, 7, 4
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [3, 5, 7]


def test_without_widths_dense_layers_are_linear() -> None:
    layers, num_features = trunk("mlp", (1, 4, 4), [])
    assert num_features == 16
    assert [type(layer) for layer in layers] == [nn.Flatten]
    back = decoder("mlp", 3, [], (1, 4, 4))
    a, b = torch.randn(2, 5, 3)
    torch.testing.assert_close(back(a + b) + back(torch.zeros(5, 3)), back(a) + back(b))


def test_the_decoder_mirrors_the_encoder() -> None:
    dims = [layer.out_features for layer in decoder("mlp", 7, [30, 20], (1, 4, 4)) if isinstance(layer, nn.Linear)]
    assert dims == [20, 30, math.prod((1, 4, 4))]


@pytest.mark.parametrize(
    ("architecture", "shape", "widths", "message"),
    [
        ("dense", (1, 8, 8), [4], "unknown architecture 'dense': choose one of mlp, conv"),
        ("mlp", (1, 8, 8), [4, 0], r"widths must be positive, got \[4, 0\]"),
        ("conv", (1, 8, 8), [], "needs at least one width"),
        ("conv", (64,), [4], r"expected images \(C, H, W\), got \(64,\)"),
        ("conv", (1, 8, 7), [4, 4, 4], r"3 widths halve an image 3 times, which needs 8x8 pixels or more, got \(1, 8, 7\)"),
    ],
)
def test_invalid_arguments_are_refused(architecture: str, shape: tuple[int, ...], widths: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_codec(architecture, shape, widths)
