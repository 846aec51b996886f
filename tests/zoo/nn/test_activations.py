"""Every activation equals its formula, has its gradient and its published range, and stays finite."""

import math
from typing import get_args

import pytest
import torch
from torch.autograd import gradcheck

from zoo.errors import ZooError
from zoo.nn.activations import Activation, OutputActivation, activation, output_activation

FORMULAS = {
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("training", [True, False])
def test_equals_its_formula_in_both_modes(name: Activation, training: bool) -> None:
    points = [-3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0]
    oracle = torch.tensor([FORMULAS[name](x) for x in points])
    torch.testing.assert_close(activation(name).train(training)(torch.tensor(points)), oracle, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", get_args(Activation))
def test_has_the_gradient_of_its_values_and_is_finite_far_out(name: Activation) -> None:
    points = torch.tensor([-3.0, -1.0, -0.1, 0.1, 1.0, 3.0], dtype=torch.float64, requires_grad=True)  # without the kink at 0
    assert gradcheck(activation(name), (points,))
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    y = activation(name)(far)
    y.sum().backward()
    assert y.isfinite().all()
    assert far.grad is not None
    assert far.grad.isfinite().all()


@pytest.mark.parametrize(("name", "minimum", "at"), [("gelu", -0.16997, -0.7518), ("swish", -0.27846, -1.2785)])
def test_the_smooth_ones_have_their_published_minimum(name: Activation, minimum: float, at: float) -> None:
    x = torch.linspace(-5, 5, 1_000_001, dtype=torch.float64)
    lowest, where = activation(name)(x).min(0)
    assert lowest.item() == pytest.approx(minimum, abs=5e-6)
    assert x[where].item() == pytest.approx(at, abs=1e-4)


def test_ranges_are_those_of_the_textbooks() -> None:
    x = torch.linspace(-50, 50, 100_001, dtype=torch.float64)
    for name, low, high in (("relu", 0, 50), ("leaky_relu", -0.5, 50), ("sigmoid", 0, 1), ("tanh", -1, 1)):
        y = activation(name)(x)  # type: ignore[arg-type]  # one of the names
        assert y.min().item() == pytest.approx(low, abs=1e-12)
        assert y.max().item() == pytest.approx(high, abs=1e-12)
    steepest = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(activation("sigmoid")(steepest), steepest)
    assert slope.item() == 0.25  # so that ten layers of sigmoids shrink a gradient a million times


def test_every_call_builds_a_new_module() -> None:
    assert activation("relu") is not activation("relu")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", get_args(OutputActivation))
def test_outputs_equal_their_formulas(name: OutputActivation, training: bool) -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]])
    powers = [[math.exp(z) for z in row] for row in logits.tolist()]
    oracle = {
        "identity": logits,
        "sigmoid": torch.tensor([[1 / (1 + math.exp(-z)) for z in row] for row in logits.tolist()]),
        "softmax": torch.tensor([[power / sum(row) for power in row] for row in powers]),
    }
    module = output_activation(name).train(training)
    torch.testing.assert_close(module(logits), oracle[name], rtol=1e-6, atol=1e-6)
    assert gradcheck(module, (logits.double().requires_grad_(),))


def test_softmax_sums_to_1_ignores_a_common_shift_and_is_finite_far_out() -> None:
    softmax, logits = output_activation("softmax"), torch.tensor([[1e4, -1e4, 0.0]])
    torch.testing.assert_close(softmax(logits), torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(softmax(logits / 1e4), softmax(logits / 1e4 + 100))
    assert softmax(torch.randn(4, 3)).sum(1).tolist() == pytest.approx([1] * 4)


def test_softmax_is_refused_between_layers_with_the_reason() -> None:
    with pytest.raises(ZooError, match="'softmax' makes the units of a layer share a total of 1, so it is for outputs only"):
        activation("softmax")  # type: ignore[arg-type]  # wrong on purpose


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"unknown activation 'Relu': choose one of relu, leaky_relu"):
        activation("Relu")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="unknown output activation 'relu': choose one of identity, sigmoid, softmax"):
        output_activation("relu")  # type: ignore[arg-type]  # wrong on purpose
