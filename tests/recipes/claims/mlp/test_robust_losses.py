"""Kinds of targets differ in their outliers only, and the best constants are those of theory."""

import pytest
import torch

from recipes.claims.mlp import robust_losses as claim


def test_kinds_differ_in_a_tenth_of_the_targets() -> None:
    drawn = {}
    for kind in claim.KINDS:
        torch.manual_seed(0)
        drawn[kind] = claim.draw(kind, 5000)
    clean, (x, y) = drawn["none"], drawn["one-sided"]
    assert torch.equal(x, clean[0])
    shifts = y - clean[1]
    assert set(shifts.round().unique().tolist()) == {0.0, claim.FAR}
    assert (shifts > 1).float().mean().item() == pytest.approx(claim.SHARE, abs=0.01)
    assert torch.equal((drawn["two-sided"][1] - clean[1]).abs() > 1, shifts > 1)


@pytest.mark.parametrize(
    ("name", "expected"), [("MSE", 0.5), ("MAE", 0.0), ("Huber, delta 1", 0.1 / 0.9), ("Huber, delta 0.1", 0.01 / 0.9)]
)
def test_the_best_constant_is_shifted_as_theory_says(name: str, expected: float) -> None:
    """Without noise: nine targets are 0 and one is 5."""
    y = torch.tensor([0.0] * 9 + [claim.FAR], dtype=torch.float64)
    constants = torch.linspace(-0.1, 0.6, 7001, dtype=torch.float64)
    losses = torch.stack([claim.LOSSES[name](constant.expand(10), y) for constant in constants])
    assert constants[losses.argmin()].item() == pytest.approx(expected, abs=2e-4)


def test_huber_is_half_the_squared_error_inside_and_linear_outside() -> None:
    loss, zero = claim.LOSSES["Huber, delta 1"], torch.zeros(1)
    assert loss(torch.tensor([0.5]), zero).item() == pytest.approx(0.125)
    assert loss(torch.tensor([3.0]), zero).item() == pytest.approx(1.0 * (3 - 0.5))
