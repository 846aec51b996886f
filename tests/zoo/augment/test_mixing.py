"""Mixup and CutMix: the distribution of the weights, and that weights, pixels and probabilities agree."""

import pytest
import torch
from scipy.stats import beta, kstest

from zoo.augment.mixing import cutmix_weights, mix, mixup_weights, symmetric_beta

DRAWS = torch.rand(50_000, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0, 2.0, 8.0])
def test_weights_are_distributed_as_beta(alpha: float) -> None:
    draw = (torch.arange(50_000) + 0.5) / 50_000
    lower = symmetric_beta(draw / 2, alpha)  # the half below 1/2, because float32 has few numbers just below 1
    assert kstest(lower.double().numpy(), lambda x: 2 * beta(alpha, alpha).cdf(x)).statistic < 5e-4
    torch.testing.assert_close(symmetric_beta(1 - draw / 2, alpha), 1 - lower, atol=1e-4, rtol=0)
    assert torch.equal(mixup_weights(draw, alpha).flatten(), symmetric_beta(draw, alpha))
    quantiles = torch.tensor(beta(alpha, alpha).ppf([0.001, 0.2, 0.5, 0.7, 0.99]), dtype=torch.float32)
    torch.testing.assert_close(
        symmetric_beta(torch.tensor([0.001, 0.2, 0.5, 0.7, 0.99]), alpha), quantiles, atol=1e-4, rtol=1e-3
    )


def test_cutmix_targets_are_the_shares_of_pixels() -> None:
    num, height, width = 500, 9, 13
    x = torch.arange(1.0, num + 1)[:, None, None, None].expand(-1, 2, height, width)
    y = torch.arange(num) % 7
    weights = cutmix_weights(DRAWS[:num], 1.0, height, width)
    mixed, target = mix(x, y, weights, 7)
    own = mixed == x
    assert torch.equal(own | (mixed == x.roll(1, 0)), torch.ones_like(own))
    share = own[:, 0].flatten(1).float().mean(1)
    expected = torch.zeros(num, 7).scatter_add(1, y[:, None], share[:, None])
    expected = expected.scatter_add(1, y.roll(1)[:, None], 1 - share[:, None])
    assert torch.equal(target, expected)
    assert len(share.unique()) > 30
    cut = ~own[:, 0]
    assert torch.equal(cut.any(2).sum(1) * cut.any(1).sum(1), cut.flatten(1).sum(1))  # a box


def test_cutmix_boxes_have_the_drawn_area_where_nothing_is_cut_off() -> None:
    draws = DRAWS.clone()
    draws[:, 1:] = 0.5
    weights = cutmix_weights(draws, 1.0, 100, 100)[:2000]
    torch.testing.assert_close(weights.mean((1, 2, 3)), symmetric_beta(draws[:2000, 0], 1.0), atol=0.02, rtol=0)


def test_mixup_mixes_images_and_classes_alike() -> None:
    x, y = torch.eye(6).view(6, 1, 2, 3), torch.arange(6)
    mixed, target = mix(x, y, mixup_weights(DRAWS[:6, 0], 1.0), 6)
    torch.testing.assert_close(mixed.flatten(1), target)
    weights = symmetric_beta(DRAWS[:6, 0], 1.0)
    torch.testing.assert_close(target.diagonal(), weights)
    torch.testing.assert_close(target.roll(1, 1).diagonal(), 1 - weights)
    same_class = mix(x, torch.full((6,), 2), mixup_weights(DRAWS[:6, 0], 1.0), 6)[1]
    torch.testing.assert_close(same_class[:, 2], torch.ones(6))
