"""Each scheme has its variance, measured on a layer of 120,000 weights."""

import math

import pytest
import torch
from torch import nn

from zoo.nn.activations import Activation
from zoo.nn.init import Init, initialise

FAN_IN, FAN_OUT = 400, 300


@pytest.mark.parametrize(
    ("name", "activation", "variance"),
    [
        ("he", "relu", 2 / FAN_IN),
        ("he", "gelu", 2 / FAN_IN),
        ("he", "leaky_relu", 2 / (1 + 0.01**2) / FAN_IN),
        ("he", "tanh", (5 / 3) ** 2 / FAN_IN),
        ("he", "identity", 1 / FAN_IN),
        ("xavier", "identity", 2 / (FAN_IN + FAN_OUT)),
        ("xavier", "sigmoid", 2 / (FAN_IN + FAN_OUT)),
        ("xavier", "tanh", (5 / 3) ** 2 * 2 / (FAN_IN + FAN_OUT)),
        ("lecun", "relu", 1 / FAN_IN),
        ("lecun", "tanh", 1 / FAN_IN),
    ],
)
def test_weights_have_the_variance_of_the_scheme(name: Init, activation: Activation, variance: float) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(FAN_IN, FAN_OUT)
    initialise(layer, name, activation)
    # The standard error of the standard deviation of n samples is 1 / sqrt(2 n) = 0.2 %. 1 % is five times as much.
    assert layer.weight.std().item() == pytest.approx(math.sqrt(variance), rel=0.01)
    assert abs(layer.weight.mean().item()) < 5 * math.sqrt(variance / layer.weight.numel())
    assert torch.equal(layer.bias, torch.zeros(FAN_OUT))


def test_default_keeps_pytorchs_weights_at_two_fifths_of_he() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(FAN_IN, FAN_OUT)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    initialise(layer, "default")
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)
    assert layer.weight.std().item() / math.sqrt(2 / FAN_IN) == pytest.approx(0.41, abs=0.01)


def test_he_keeps_the_signal_through_a_deep_relu_stack_and_default_loses_it() -> None:
    def last_deviation(name: Init) -> float:
        torch.manual_seed(0)
        stack = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(256, 256), nn.ReLU())))
        initialise(stack, name)
        return stack(torch.randn(256, 256)).std().item()

    assert 0.3 < last_deviation("he") < 3
    assert last_deviation("default") < 0.05


def test_nested_layers_and_layers_without_bias_are_initialised() -> None:
    nested = nn.Sequential(nn.Sequential(nn.Linear(3, 3, bias=False)), nn.BatchNorm1d(3))
    before = nested[0][0].weight.clone()
    initialise(nested, "lecun")
    assert not torch.equal(nested[0][0].weight, before)
    assert torch.equal(nested[1].weight, torch.ones(3))  # norms are not initialised


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown init 'zeros': choose one of default, he, xavier, lecun"):
        initialise(nn.Linear(1, 1), "zeros")  # type: ignore[arg-type]  # wrong on purpose
