"""Gradients by layer equal closed forms, and the stretched sigmoid differs from the sigmoid in scale and offset only."""

import pytest
import torch

from recipes.claims.mlp import vanishing_by_depth as claim


def test_signals_of_one_linear_unit_per_layer_are_powers_of_its_weight() -> None:
    net = claim.DeepNet(1, 1, 10, lambda x: x, lambda layer: torch.nn.init.constant_(layer.weight, 0.7)).double()
    signals, _ = claim.gradient_norms(net, torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.long))
    assert (signals / signals[-1]).tolist() == pytest.approx([0.7 ** (9 - layer) for layer in range(10)])


def test_gradients_of_the_weights_are_signals_times_inputs() -> None:
    """For a single sample the norm of an outer product is the product of the norms."""
    torch.manual_seed(0)
    net, x = claim.DeepNet(4, 6, 3, torch.tanh, claim.INITS["Xavier"]), torch.randn(1, 4)
    signals, weights = claim.gradient_norms(net, x, torch.zeros(1, dtype=torch.long))
    inputs = [x, *(torch.tanh(z) for z in net.pre_activations(x)[:-1])]
    assert weights.tolist() == pytest.approx([(s * a.norm()).item() for s, a in zip(signals, inputs, strict=True)], rel=1e-5)


def test_the_stretched_sigmoid_has_a_slope_of_1_at_0_and_saturates() -> None:
    z = torch.tensor([0.0, 12.0, -12.0], requires_grad=True)
    values = claim.ACTIVATIONS[claim.STRETCHED](z)
    (slopes,) = torch.autograd.grad(values.sum(), z)
    assert values.tolist() == pytest.approx([0, 2, -2], abs=1e-3)
    assert slopes.tolist() == pytest.approx([1, 0, 0], abs=1e-3)


def test_torchs_default_weights_are_0_41_of_hes() -> None:
    torch.manual_seed(0)
    default, he = (
        claim.DeepNet(500, 500, 1, torch.tanh, claim.INITS[name]).hidden[0].weight.std() for name in ("default", "He")
    )
    assert (default / he).item() == pytest.approx((1 / 6) ** 0.5, rel=0.01)
