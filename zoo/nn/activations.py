"""Activation functions by name."""

from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

from zoo.errors import check_choice

GAN_SLOPE = 0.2  # of leaky ReLUs in GANs (Radford, Metz & Chintala, 2016, arXiv:1511.06434, section 3)
Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh", "swish", "identity"]

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "swish": nn.SiLU,  # x * sigmoid(x), Ramachandran et al., 2017, arXiv:1710.05941
    "identity": nn.Identity,  # linear layers without an activation between them are one linear map
}


def activation(name: Activation) -> nn.Module:
    """Build a module that applies the function to every element.

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("activation", name, get_args(Activation))
    return _MODULES[name]()
