"""Every activation equals its formula."""

import math
from typing import get_args

import pytest
import torch

from zoo.nn.activations import Activation, activation

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
def test_equals_its_formula(name: Activation) -> None:
    points = [-3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0]
    oracle = torch.tensor([FORMULAS[name](x) for x in points])
    torch.testing.assert_close(activation(name)(torch.tensor(points)), oracle, rtol=1e-6, atol=1e-6)


def test_every_call_builds_a_new_module() -> None:
    assert activation("relu") is not activation("relu")


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"unknown activation 'Relu': choose one of relu, leaky_relu"):
        activation("Relu")  # type: ignore[arg-type]  # wrong on purpose
