"""Losses and gradients of all arms equal their closed forms."""

import math

import pytest
import torch

from recipes.claims.mlp import logits_or_softmax as claim


def test_log_softmax_outputs_change_nothing() -> None:
    logits, y = torch.randn(20, 10, dtype=torch.float64), torch.arange(20) % 10
    losses = [claim.LOSSES[name](logits, y) for name in ("logits", "log-softmax outputs", "formula, log(softmax)")]
    assert torch.allclose(losses[0], losses[1])
    assert torch.allclose(losses[0], losses[2])


def test_softmax_twice_lies_between_its_least_and_its_largest_loss() -> None:
    loss = claim.LOSSES["softmax outputs"]
    assert claim.at_extremes(loss, claim.FAR)[0] == pytest.approx(math.log(math.e + 9) - 1)
    certain_and_wrong = torch.full((1, 10), 0.0)
    certain_and_wrong[0, 1] = claim.FAR
    assert loss(certain_and_wrong, torch.zeros(1, dtype=torch.long)).item() == pytest.approx(math.log(math.e + 9))


@pytest.mark.parametrize("logit", [-claim.FAR, -3.0, 0.0, 3.0])
def test_the_gradient_on_logits_is_the_probability_that_is_missing(logit: float) -> None:
    p = 1 / (1 + 9 * math.exp(-max(logit, -700)))
    assert claim.at_extremes(claim.LOSSES["logits"], logit)[1] == pytest.approx(1 - p, rel=1e-5)


def test_the_formula_fails_at_extreme_logits() -> None:
    value, gradient = claim.at_extremes(claim.LOSSES["formula, log(softmax)"], -claim.FAR)
    assert value == math.inf
    assert math.isnan(gradient)
