"""The distance of patches sees blur and texture, and ranks real photographs before damaged ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.generation import frechet_of_features
from zoo.metrics.patches import PatchFeatures, cut_patches


def patch_distance(features: PatchFeatures, real: Tensor, fake: Tensor) -> float:
    return frechet_of_features(features(real), features(fake))


def facades(num: int, seed: int) -> Tensor:
    """Return made-up photographs (num, 3, 32, 32) of dark windows with bright ledges below them."""
    generator = torch.Generator().manual_seed(seed)
    photos = 0.5 + 0.2 * torch.rand(num, 3, 1, 1, generator=generator) * torch.ones(num, 3, 32, 32)
    for photo in photos:
        row, column = torch.randint(0, 4, (2,), generator=generator).tolist()
        for top in range(row, 27, 9):
            for left in range(column, 28, 8):
                photo[:, top : top + 4, left : left + 3] = 0.1
                photo[:, top + 4, left : left + 3] = 0.95
    return photos


def test_real_photographs_are_nearer_than_blurred_noisy_upside_down_and_mean_ones() -> None:
    train, test = facades(60, 0), facades(30, 1)
    features = PatchFeatures(train)
    real = patch_distance(features, test, train)
    noisy = (test + 0.2 * torch.randn(test.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    blurred = F.avg_pool2d(F.pad(test, (1, 1, 1, 1), mode="replicate"), 3, 1)
    mean = train.mean(0, keepdim=True).expand_as(test)
    for damaged in (noisy, blurred, test.flip(2), mean):
        assert patch_distance(features, test, damaged) > 2 * real
    assert patch_distance(features, test, test) == pytest.approx(0, abs=1e-4)
    again = PatchFeatures(train)
    assert patch_distance(again, test, blurred) == patch_distance(features, test, blurred)


def test_patches_overlap_and_are_bounded_in_number() -> None:
    photos = torch.arange(2 * 24 * 32.0).view(2, 1, 24, 32)
    assert cut_patches(photos, 100).shape == (2 * 2 * 3, 1, 16, 16)
    some = cut_patches(photos, 5)
    assert some.shape == (5, 1, 16, 16)
    corners = {(start // 768, start % 768 // 32, start % 32) for start in some[:, 0, 0, 0].long().tolist()}
    assert len(corners) == 5
    assert all(row in (0, 8) and column in (0, 8, 16) for _, row, column in corners)
    assert cut_patches(photos[:, :, :8], 100).shape == (2 * 4, 1, 8, 8)  # a stride of 8 along the longer side
