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
    (x, y), _ = usps.splits["train"]
    test_x, test_y = usps.splits["test"].arrays
    assert (x.shape, test_x.shape, x.dtype) == ((7291, 1, 16, 16), (2007, 1, 16, 16), torch.uint8)
    # counts per digit as in zip.info of Hastie, Tibshirani & Friedman, The elements of statistical learning
    assert torch.bincount(y).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert torch.bincount(test_y).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def test_mean_and_deviation_are_the_training_images(usps: USPS) -> None:
    for channel, (mean, std) in enumerate(zip(usps.mean, usps.std, strict=True)):
        counts = torch.bincount(usps.splits["train"].arrays.x[:, channel].flatten(), minlength=256).double()
        share, level = counts / counts.sum(), torch.arange(256) / 255
        assert (share * level).sum().item() == pytest.approx(mean, abs=1e-4)
        assert (share * (level - mean) ** 2).sum().sqrt().item() == pytest.approx(std, abs=1e-4)


def test_splits_are_disjoint_complete_and_stratified(usps: USPS) -> None:
    y = usps.splits["train"].arrays.y
    train, val = usps.splits["train"].rows, usps.splits["val"].rows
    assert torch.equal(torch.cat([train, val]).sort().values, torch.arange(len(y)))
    assert ((torch.bincount(y[val]) - 0.1 * torch.bincount(y)).abs() <= 1).all()
