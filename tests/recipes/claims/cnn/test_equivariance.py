"""Networks differ in their pooling only, and shifts cut nothing off."""

import pytest
import torch
from torch import nn

from zoo.cli.arms import Images
from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["equivariance"])


def test_convolutions_of_all_arms_are_alike() -> None:
    weights = []
    for name in module.NETS[:3]:
        torch.manual_seed(0)
        weights.append([layer.weight for layer in module.build(name, 12) if isinstance(layer, nn.Conv2d)])
    assert all(torch.equal(a, b) for each in weights[1:] for a, b in zip(weights[0], each, strict=True))


def test_a_margin_is_wide_enough_for_the_shifts() -> None:
    data = module.with_margin(Images(torch.rand(3, 1, 8, 8), torch.zeros(3)))
    assert data.x.shape == (3, 1, 16, 16)
    assert max(module.SHIFTS) < module.MARGIN
    edge = data.x[:, :, : module.MARGIN]
    assert edge.eq(data.x.min()).all()


def test_a_network_that_averages_over_everything_keeps_all_predictions() -> None:
    torch.manual_seed(0)
    invariant = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 10))
    position = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    x = torch.randn(50, 1, 16, 16)
    assert module.kept(invariant, x, 2) == 1
    assert module.kept(position, x, 2) < 0.5


def test_conv2d_correlates() -> None:
    x, kernel = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    assert module.correlation_error(False, x, kernel) == pytest.approx(0, abs=1e-12)
    assert module.correlation_error(True, x, kernel) > 0.01
    assert module.correlation_error(True, x, kernel + kernel.rot90(2)) == pytest.approx(0, abs=1e-12)
