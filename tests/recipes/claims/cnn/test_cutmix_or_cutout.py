"""The arms of CutMix and Cutout differ in the boxes and in what fills them."""

import torch

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["cutmix_or_cutout"])


def test_erased_boxes_are_those_of_cutmix() -> None:
    x, y, rows = (
        torch.full((16, 1, 8, 8), 2.0) + torch.arange(16.0)[:, None, None, None],
        torch.arange(16) % 10,
        torch.arange(16),
    )
    (mixed, shares), (erased, kept) = (module.change_of(arm, 3)(x, y, rows, 0) for arm in ("CutMix", "CutMix's boxes, erased"))
    box = erased == 0
    assert box.any()
    assert mixed[~box].equal(x[~box])
    assert mixed[box].equal(x.roll(1, 0)[box])
    assert kept.equal(y)
    assert torch.allclose(shares[torch.arange(16), y], 1 - box.float().mean((1, 2, 3)), atol=1e-6)


def test_cutout_erases_a_square_of_half_the_side_and_keeps_the_class() -> None:
    x, y = torch.ones(200, 1, 8, 8), torch.zeros(200, dtype=torch.long)
    erased, kept = module.change_of("Cutout", 0)(x, y, torch.arange(200), 0)
    assert (erased == 0).sum((1, 2, 3)).max() == 16
    assert kept.equal(y)
