"""Weight initialisation by name."""

from typing import Literal, get_args

from torch import nn

from zoo.errors import check_choice
from zoo.nn.activations import Activation

Init = Literal["default", "he", "xavier", "lecun"]


def initialise(module: nn.Module, name: Init, activation: Activation = "relu") -> None:
    """Draw the weights of every linear layer from a normal distribution and set its bias to 0.

    The variance depends on the scheme:

    - he (He et al., 2015, arXiv:1502.01852): gain^2 / fan_in; the gain^2 of a ReLU is 2
    - xavier (Glorot & Bengio, 2010): 2 gain^2 / (fan_in + fan_out); the gain of tanh is 5/3
    - lecun (LeCun et al., 1998): 1 / fan_in
    - default: PyTorch's own weights are kept; their deviation is 0.41 of He's for a ReLU

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("init", name, get_args(Init))
    if name == "default":
        return
    gained = {"leaky_relu": "leaky_relu", "tanh": "tanh", "sigmoid": "sigmoid", "identity": "linear"}
    gain = nn.init.calculate_gain(gained.get(activation, "relu"), 0.01 if activation == "leaky_relu" else None)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            match name:
                case "he":
                    nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5)
                case "xavier":
                    nn.init.xavier_normal_(layer.weight, gain=gain)
                case _:
                    nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
