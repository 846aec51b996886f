"""Each scheme has its variance, measured on a layer of 120,000 weights."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from zoo.nn.activations import Activation
from zoo.nn.init import Init, gain_of, initialise

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


@pytest.mark.parametrize(
    ("build", "fan_in", "fan_out"),
    [
        (lambda: nn.Conv2d(50, 80, 3), 9 * 50, 9 * 80),
        (lambda: nn.Conv1d(100, 150, 5), 5 * 100, 5 * 150),
        (lambda: nn.Conv2d(200, 400, (3, 1), groups=2), 3 * 100, 3 * 400),
    ],
    ids=["2-D", "1-D", "grouped"],
)
def test_convolutions_count_the_values_under_their_kernel(build: Callable[[], Any], fan_in: int, fan_out: int) -> None:
    for name, variance in (("he", 2 / fan_in), ("xavier", 2 * 2 / (fan_in + fan_out)), ("lecun", 1 / fan_in)):
        torch.manual_seed(0)
        layer = build()
        initialise(layer, name)  # type: ignore[arg-type]  # one of the names
        assert layer.weight.std().item() == pytest.approx(math.sqrt(variance), rel=0.02)
        assert not layer.bias.any()


def test_he_is_torchs_for_a_relu_bit_by_bit() -> None:
    for layer in (nn.Linear(37, 11), nn.Conv2d(7, 5, 3), nn.Conv2d(64, 128, 3)):
        torch.manual_seed(1)
        initialise(layer, "he")
        found = layer.weight.clone()
        torch.manual_seed(1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        assert torch.equal(layer.weight, found)


@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Linear(30, 40), nn.Conv2d(6, 20, 3), nn.Conv2d(2, 40, 3)], ids=str)
def test_orthogonal_rows_or_columns_have_the_length_of_the_gain(layer: Any) -> None:
    initialise(layer, "orthogonal", "tanh")
    matrix = layer.weight.detach().flatten(1).double()
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    torch.testing.assert_close(matrix @ matrix.T, (5 / 3) ** 2 * torch.eye(len(matrix)).double(), rtol=1e-5, atol=1e-5)
    assert not layer.bias.any()


def test_gains_are_those_of_torchs_table() -> None:
    expected = {"relu": 2**0.5, "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5, "tanh": 5 / 3, "sigmoid": 1, "identity": 1}
    for name, gain in expected.items():
        assert gain_of(name) == pytest.approx(gain, rel=1e-12)  # type: ignore[arg-type]  # one of the names
    assert gain_of("gelu") == gain_of("swish") == gain_of("relu")


def test_transposed_convolutions_are_left_as_they_are() -> None:
    layer = nn.ConvTranspose2d(3, 4, 3)
    before = layer.weight.clone()
    initialise(layer, "he")
    assert torch.equal(layer.weight, before)


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
    with pytest.raises(ValueError, match="unknown init 'zeros': choose one of default, he, xavier, lecun, orthogonal"):
        initialise(nn.Linear(1, 1), "zeros")  # type: ignore[arg-type]  # wrong on purpose
