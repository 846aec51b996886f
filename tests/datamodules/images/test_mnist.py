"""MNIST: the real images."""

from pathlib import Path

import pytest
import torch

from datamodules import MNIST


@pytest.fixture
def data(mirror: Path) -> MNIST:
    data = MNIST()
    data.setup()
    return data


def test_is_the_original_set(data: MNIST) -> None:
    (x, y, _), _ = data.splits["train"]
    test_x, test_y, _ = data.splits["test"].arrays
    assert (x.shape, test_x.shape, x.dtype) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28), torch.uint8)
    # counts per digit as in LeCun's files
    assert torch.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    assert test_y[:5].tolist() == [7, 2, 1, 0, 4]


def test_may_be_shown_larger_and_in_colour(mirror: Path, data: MNIST) -> None:
    grey, colour = data.load("test").x, MNIST(size=32, rgb=True).load("test").x
    assert colour.shape == (10_000, 3, 32, 32)
    assert torch.equal(colour[:, 0], colour[:, 2])
    by_hand = torch.nn.functional.interpolate(grey[:9].float(), (32, 32), mode="bilinear")  # enlarging needs no antialiasing
    assert (colour[:9, :1].float() - by_hand).abs().max() <= 1
