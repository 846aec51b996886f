"""Activation functions by name."""

from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

from zoo.errors import ZooError, check_choice

GAN_SLOPE = 0.2  # of leaky ReLUs in GANs (Radford, Metz & Chintala, 2016, arXiv:1511.06434, section 3)
Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh", "swish", "identity"]
OutputActivation = Literal["identity", "sigmoid", "softmax"]

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "gelu": lambda: nn.GELU(approximate="none"),  # x times the normal distribution function, Hendrycks & Gimpel, 2016
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "swish": nn.SiLU,  # x * sigmoid(x), Ramachandran et al., 2017, arXiv:1710.05941
    "identity": nn.Identity,  # linear layers without an activation between them are one linear map
}


def activation(name: Activation) -> nn.Module:
    """Build a module that applies a function to every element of a hidden layer.

    Raises:
        ZooError: if the name is unknown, or if it is softmax, which is not a function of one element.
    """
    if str(name) == "softmax":
        raise ZooError(
            "activation 'softmax' makes the units of a layer share a total of 1, so it is for outputs only: "
            f"choose one of {', '.join(get_args(Activation))}"
        )
    check_choice("activation", name, get_args(Activation))
    return _MODULES[name]()


def output_activation(name: OutputActivation) -> nn.Module:
    """Build a module that turns logits (B, K) into probabilities: "sigmoid" for each logit, "softmax" over the K classes.

    For predictions only: the losses in `zoo.nn.losses` take logits, since a probability that rounds to 0 has no logarithm.

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("output activation", name, get_args(OutputActivation))
    return nn.Softmax(dim=1) if name == "softmax" else _MODULES[name]()
