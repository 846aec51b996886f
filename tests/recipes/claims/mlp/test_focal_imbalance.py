"""The focal loss equals its formula and torchvision's, and its minimum is where theory says."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from recipes.claims.mlp import focal_imbalance as claim


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_equals_torchvisions(alpha: float | None) -> None:
    logits, y = 3 * torch.randn(50, dtype=torch.float64), (torch.rand(50) < 0.3).double()
    expected = sigmoid_focal_loss(logits, y, alpha=-1 if alpha is None else alpha, gamma=2.0, reduction="mean")
    assert torch.allclose(claim.focal(logits, y, alpha), expected)


def test_without_gamma_it_is_the_cross_entropy() -> None:
    logits, y = torch.randn(50), (torch.rand(50) < 0.3).float()
    assert torch.allclose(claim.focal(logits, y, gamma=0.0), F.binary_cross_entropy_with_logits(logits, y))


def test_its_best_probability_rises_with_the_true_one_and_equals_it_at_one_half_only() -> None:
    logits = torch.linspace(-6, 6, 24_001, dtype=torch.float64)
    p, best = torch.sigmoid(logits), []
    for true in (0.02, 0.2, 0.5, 0.8, 0.98):
        loss = -(true * (1 - p) ** 2 * p.log() + (1 - true) * p**2 * (1 - p).log())
        best.append(p[loss.argmin()].item())
    assert best == sorted(best)
    assert best[2] == pytest.approx(0.5, abs=1e-3)
    assert best[0] > 0.04  # less certain than the truth
    assert best[4] < 0.96


def test_positives_are_as_rare_as_stated_and_lie_as_in_xor() -> None:
    torch.manual_seed(0)
    x, y = claim.draw(50_000, claim.RARE)
    assert y.mean().item() == pytest.approx(claim.RARE, abs=0.003)
    assert (x.prod(1)[y > 0] > 0).float().mean() > 0.85
    assert (x.prod(1)[y == 0] < 0).float().mean() > 0.85
