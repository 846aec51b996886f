"""Networks by architecture, for samples of any size."""

from typing import Any

import pytest
import torch

from zoo.gans.networks import build_networks


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 27, 30)])
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_images_of_any_size_are_generated_and_scored(architecture: Any, shape: tuple[int, int, int]) -> None:
    generator, discriminator = build_networks(architecture, shape, 5, (6, 7))
    x = generator(torch.randn(4, 5))
    assert x.shape == (4, *shape)
    assert -1 <= x.min() < x.max() <= 1
    assert discriminator(x).shape == (4,)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'rnn': choose one of mlp, conv"):
        build_networks("rnn", (2,), 3, (4,))  # type: ignore[arg-type]
