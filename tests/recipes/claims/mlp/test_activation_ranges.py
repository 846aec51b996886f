"""Bounds equal their closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.special import lambertw

from recipes.claims.mlp import activation_ranges as claim


def test_the_minimum_of_swish_is_minus_lambert_w_of_one_over_e() -> None:
    """The derivative is 0 where 1 + x (1 - sigmoid(x)) = 0, with the solution x = -1 - W(1/e) and the value -W(1/e)."""
    w = lambertw(1 / math.e).real
    low = claim.bound(F.silu, 1, 30_001)
    assert low.value == pytest.approx(-w, abs=1e-12)
    assert low.x == pytest.approx(-1 - w, abs=1e-7)
    assert low.attained


def test_the_derivative_of_gelu_is_0_at_its_minimum() -> None:
    x = claim.bound(F.gelu, 1, 30_001).x
    assert x is not None
    density = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    assert 0.5 * math.erfc(-x / math.sqrt(2)) + x * density == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(torch.cos, "[-1, 1]"), (torch.atan, "(-2, 2)"), (lambda x: x**2, "[0, inf)"), (lambda x: x**3, "(-inf, inf)")],
)
def test_ranges_of_other_functions(function: object, expected: str) -> None:
    ends = [claim.bound(function, sign, 3001) for sign in (1, -1)]
    assert claim.interval(*ends, digits=0) == expected


def test_the_max_form_of_a_leaky_relu_needs_a_slope_below_1() -> None:
    x = torch.tensor([-1.0, 1.0])
    assert torch.equal(torch.maximum(0.01 * x, x), F.leaky_relu(x, 0.01))
    assert torch.equal(torch.maximum(2 * x, x), torch.tensor([-1.0, 2.0]))
    assert torch.equal(F.leaky_relu(x, 2.0), torch.tensor([-2.0, 1.0]))


def test_float32_closes_open_ranges() -> None:
    assert torch.sigmoid(torch.tensor(20.0)) == 1
    assert torch.tanh(torch.tensor(10.0)) == 1
    assert torch.exp(torch.tensor(89.0)).isinf()
    assert torch.randn(100, 7).softmax(1).sum(1) == pytest.approx(1.0)
