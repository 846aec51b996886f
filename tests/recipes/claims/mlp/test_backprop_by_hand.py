"""Gradients of a single layer equal their closed form, and a control is right where its error does not matter."""

import pytest
import torch
import torch.nn.functional as F

from recipes.claims.mlp import backprop_by_hand as claim


def test_the_gradient_of_one_layer_is_p_minus_y_times_the_input() -> None:
    layers = claim.build([3, 4], seed=0)
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    (gradients,) = claim.backward(x, y, layers, "tanh", "chain rule")
    dz = ((x @ layers[0].weight.T + layers[0].bias).softmax(1) - F.one_hot(y, 4)) / 5
    assert torch.allclose(gradients.weight, torch.einsum("bo,bi->oi", dz, x))
    assert torch.allclose(gradients.bias, dz.sum(0))


def test_the_bias_rule_of_the_reference_is_right_for_one_sample() -> None:
    layers = claim.build([3, 4, 4], seed=0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    for num, right in ((1, True), (6, False)):
        auto = claim.by_autograd(x[:num], y[:num], layers, "tanh")
        found = claim.backward(x[:num], y[:num], layers, "tanh", "dL/db = dL/dz")
        assert (claim.difference(found, auto) < claim.EXACT) == right


def test_the_control_without_derivatives_is_right_for_a_linear_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(claim.ACTIVATIONS, "identity", (lambda z: z, torch.ones_like))
    layers = claim.build([3, 4, 4], seed=0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    auto = claim.by_autograd(x, y, layers, "identity")
    assert claim.difference(claim.backward(x, y, layers, "identity", "without f'(z)"), auto) < claim.EXACT
