"""Weight initialisation by name."""

from typing import Literal, get_args

from torch import nn

from zoo.errors import check_choice
from zoo.nn.activations import Activation

Init = Literal["default", "he", "xavier", "lecun", "orthogonal"]


def initialise(module: nn.Module, name: Init, activation: Activation = "relu") -> None:
    """Draw the weights of every linear and convolution layer for a following activation, and set its bias to 0.

    - he (He et al., 2015, arXiv:1502.01852): normal with variance gain^2 / fan_in; the gain^2 of a ReLU is 2
    - xavier (Glorot & Bengio, 2010): normal with variance 2 gain^2 / (fan_in + fan_out); the gain of tanh is 5/3
    - lecun (LeCun et al., 1998): normal with variance 1 / fan_in
    - orthogonal (Saxe, McClelland & Ganguli, 2014, arXiv:1312.6120): gain times a matrix with orthonormal rows or columns
    - default: PyTorch's own weights are kept; their deviation is 0.41 of He's for a ReLU

    A convolution counts as a matrix (output channels, fan_in), in which fan_in is the number of values under its kernel.
    Transposed convolutions are left as they are.

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("init", name, get_args(Init))
    if name == "default":
        return
    gain = gain_of(activation)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            fan_in = layer.weight[0].numel()
            match name:
                case "he":
                    nn.init.normal_(layer.weight, std=gain / fan_in**0.5)
                case "xavier":
                    nn.init.xavier_normal_(layer.weight, gain=gain)
                case "orthogonal":
                    nn.init.orthogonal_(layer.weight, gain=gain)
                case _:
                    nn.init.normal_(layer.weight, std=fan_in**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def gain_of(activation: Activation) -> float:
    """Return the factor that keeps the size of the signal through an activation: sqrt(2) for a ReLU, 5/3 for tanh.

    torch's table has no entry for GELU and Swish. They get the gain of a ReLU, which they resemble.
    """
    match activation:
        case "leaky_relu":
            return nn.init.calculate_gain("leaky_relu", 0.01)
        case "tanh" | "sigmoid":
            return nn.init.calculate_gain(activation)
        case "identity":
            return nn.init.calculate_gain("linear")
        case _:
            return nn.init.calculate_gain("relu")
