"""Weights have the spread that each scheme promises, and arms with equal seeds see equal batches."""

import math

import pytest
import torch
from torch import nn

from recipes.claims.mlp import initialisation as claim
from recipes.claims.mlp.linear_collapse import digits

EXPECTED = {
    "default": (1 / 3 / 400) ** 0.5,
    "Xavier": (2 / 1000) ** 0.5,
    "Xavier x 5/3": 5 / 3 * (2 / 1000) ** 0.5,
    "He": (2 / 400) ** 0.5,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_deviations_are_those_of_the_formulas(name: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(400, 600)
    claim.DRAWS["tanh"][name](layer)
    assert layer.weight.std().item() == pytest.approx(EXPECTED[name], rel=0.01)


def test_orthogonal_weights_keep_norms_and_gain_sqrt_2_for_relu() -> None:
    x = torch.randn(3, 16)
    for name, gain in (("tanh", 1.0), ("ReLU", math.sqrt(2))):
        layer = nn.Linear(16, 16, bias=False)
        claim.DRAWS[name]["orthogonal"](layer)
        assert torch.allclose(layer(x).norm(dim=1), gain * x.norm(dim=1), rtol=1e-5)


def test_relu_halves_what_xavier_keeps_and_he_doubles() -> None:
    """Before training, the spread of ReLU activations per layer changes by 1 / sqrt(2) with Xavier's, by 1 with He's."""
    sizes = claim.SMALLEST._replace(hidden_dim=256, num_updates=1)
    data = digits()
    for init, factor in (("Xavier", 2**-0.5), ("He", 1.0)):
        found = claim.train("ReLU", init, 11, 0.01, 0, data, sizes)
        assert found.activations ** (1 / 10) == pytest.approx(factor, rel=0.1)
