"""Which pixels Cutout and random erasing erase, and how often."""

import pytest
import torch

from zoo.augment.erasing import cutout, random_erasing

X = torch.ones(20_000, 2, 8, 10)


@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_erases_a_square_around_any_pixel(side: int) -> None:
    erased = cutout(X, torch.rand(len(X), 2), side) == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    heights, widths = erased[:, 0].any(2).sum(1), erased[:, 0].any(1).sum(1)
    assert torch.equal(heights * widths, erased[:, 0].flatten(1).sum(1))  # a rectangle without holes
    assert (heights.max(), widths.max()) == (side, side)
    assert heights.min() == side - side // 2  # the centre is always a pixel of the image
    if side % 2:
        inner = erased[:, 0, side : 8 - side or None, side : 10 - side or None].float().mean(0)
        torch.testing.assert_close(inner, torch.full_like(inner, side**2 / 80), atol=0.02, rtol=0)


def test_random_erasing_spares_its_share_and_keeps_its_limits() -> None:
    erased = random_erasing(X, torch.rand(len(X), 5), p=0.3, largest=0.4)[:, 0] == 0
    share = erased.flatten(1).float().mean(1)
    assert (share > 0).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert share.max() <= 0.5  # 0.4, before sides are rounded to pixels
    heights, widths = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(heights * widths, erased.flatten(1).sum(1))
    assert torch.equal(random_erasing(X, torch.rand(len(X), 5), p=0.0, largest=0.4), X)
