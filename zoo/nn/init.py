"""Weight initialisation by name."""

from typing import Literal, get_args

from torch import nn

from zoo.errors import check_choice
from zoo.nn.activations import Activation

Init = Literal["default", "he", "xavier", "lecun"]


def initialise(module: nn.Module, name: Init, activation: Activation = "relu") -> None:
    """Draw every linear layer's weights anew, biases 0, with the variance the scheme asks for.

    - he (2015, arXiv:1502.01852): gain^2 / fan_in, where a ReLU's gain^2 is 2
    - xavier (Glorot & Bengio, 2010): 2 gain^2 / (fan_in + fan_out), where tanh's gain is 5/3
    - lecun (1998): 1 / fan_in
    - default: left as PyTorch draws them, with 0.41 of He's deviation

    Raises:
        ZooError: for an unknown name.
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
