"""USPS: the real images."""

from pathlib import Path

import pytest
import torch

from datamodules import USPS


@pytest.fixture
def usps(mirror: Path) -> USPS:
    data = USPS()
    data.setup()
    return data


def test_is_the_original_set(usps: USPS) -> None:
    (x, y, _), _ = usps.splits["train"]
    test_x, test_y, _ = usps.splits["test"].arrays
    assert (x.shape, test_x.shape, x.dtype) == ((7291, 1, 16, 16), (2007, 1, 16, 16), torch.uint8)
    # counts per digit as in zip.info of Hastie, Tibshirani & Friedman, The elements of statistical learning
    assert torch.bincount(y).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert torch.bincount(test_y).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
