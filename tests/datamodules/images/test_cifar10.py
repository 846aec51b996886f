"""CIFAR-10: the real images."""

from pathlib import Path

import pytest
import torch

from datamodules import CIFAR10


@pytest.fixture
def cifar10(mirror: Path) -> CIFAR10:
    data = CIFAR10()
    data.setup()
    return data


def test_is_the_original_set(cifar10: CIFAR10) -> None:
    (x, y, _), _ = cifar10.splits["train"]
    test_x, test_y, _ = cifar10.splits["test"].arrays
    assert (x.shape, test_x.shape, x.dtype) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32), torch.uint8)
    assert tuple(x.shape[1:]) == cifar10.input_shape
    assert torch.bincount(y).tolist() == [5000] * 10
    assert torch.bincount(test_y).tolist() == [1000] * 10


def test_names_fit_the_labels(cifar10: CIFAR10) -> None:
    """What flies and what swims stands before blue, and nothing else does."""
    x, y, _ = cifar10.splits["test"].arrays
    red, _, blue = torch.stack([x[y == label].double().mean((0, 2, 3)) for label in range(10)], dim=1)
    assert [cifar10.class_names[label] for label in (blue > red + 10).nonzero()[:, 0]] == ["airplane", "ship"]
