"""Backpropagation written out by hand for a multi-layer perceptron (Rumelhart, Hinton & Williams, 1986).

The forward pass keeps the input and the pre-activation of every layer. The backward pass visits the layers from the last to the
first and applies the chain rule, without autograd:

    z = a_prev W^T + b         a = f(z)                  forward
    dL/dz = dL/da * f'(z)                                backward, for a hidden layer
    dL/dW = (dL/dz)^T a_prev   dL/db = sum of dL/dz over the batch
    dL/da_prev = dL/dz W                                 passed on to the layer before

The last layer is linear, and the loss gives its dL/dz. Losses are means over the batch, so dL/dz contains the factor 1 / B and
the sums over the batch are the gradients of the mean.

Shapes: B batch, I inputs of a layer, O outputs of a layer, K outputs of the network. W is (O, I), as in `nn.Linear`.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.errors import check_choice

Hidden = Literal["relu", "sigmoid", "tanh"]
Loss = Literal["cross_entropy", "squared_error"]


class Layer(NamedTuple):
    """The parameters of a layer: weight (O, I) and bias (O,)."""

    weight: Tensor
    bias: Tensor


class Kept(NamedTuple):
    """What the forward pass of a layer keeps: its input (B, I) and its pre-activation (B, O)."""

    a_prev: Tensor
    z: Tensor


class LayerGradients(NamedTuple):
    """The gradients of a layer: with respect to its pre-activation, its parameters and its input."""

    z: Tensor
    weight: Tensor
    bias: Tensor
    a_prev: Tensor


def activate(z: Tensor, name: Hidden) -> Tensor:
    """Apply an activation function f to every element.

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("activation", name, get_args(Hidden))
    match name:
        case "relu":
            return z.clamp(min=0)
        case "sigmoid":
            return torch.sigmoid(z)
        case _:
            return torch.tanh(z)


def slope(z: Tensor, name: Hidden) -> Tensor:
    """Return the derivative f'(z) of an activation function. That of a ReLU is 0 at z = 0, as in torch.

    Raises:
        ZooError: if the name is unknown.
    """
    check_choice("activation", name, get_args(Hidden))
    match name:
        case "relu":
            return (z > 0).to(z.dtype)
        case "sigmoid":
            a = torch.sigmoid(z)
            return a * (1 - a)
        case _:
            return 1 - torch.tanh(z) ** 2


def forward(x: Tensor, layers: Sequence[Layer], activation: Hidden) -> tuple[Tensor, list[Kept]]:
    """Compute the outputs (B, K) for inputs (B, I), and what the backward pass needs from each layer."""
    a, kept = x, []
    for number, (weight, bias) in enumerate(layers, start=1):
        z = a @ weight.T + bias
        kept.append(Kept(a, z))
        a = z if number == len(layers) else activate(z, activation)
    return a, kept


def backward(dz: Tensor, kept: Sequence[Kept], layers: Sequence[Layer], activation: Hidden) -> list[LayerGradients]:
    """Compute the gradients of every layer, first layer first, from dL/dz (B, K) of the last layer."""
    gradients: list[LayerGradients] = []
    for number in reversed(range(len(layers))):
        dweight = dz.T @ kept[number].a_prev
        dbias = dz.sum(0)
        da_prev = dz @ layers[number].weight
        gradients.insert(0, LayerGradients(dz, dweight, dbias, da_prev))
        if number > 0:  # the input of this layer is f(z) of the layer before
            dz = da_prev * slope(kept[number - 1].z, activation)
    return gradients


def cross_entropy(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Compute softmax and cross-entropy of logits (B, K) for classes (B,) or probabilities (B, K).

    Return the mean loss (0-d) and its gradient with respect to the logits, (p - y) / B: the derivatives of the logarithm and of
    the softmax cancel.
    """
    target = y if y.is_floating_point() else torch.eye(logits.shape[1], device=y.device)[y]
    target = target.to(logits.dtype)
    shifted = logits - logits.max(dim=1, keepdim=True).values  # so that no exponential overflows
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    loss = -(target * log_p).sum(dim=1).mean()
    return loss, (log_p.exp() - target) / len(logits)


def squared_error(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the squared error of outputs (B, K) for targets (B, K), as a mean over the batch and over K.

    Return the loss (0-d) and its gradient with respect to the outputs, 2 (outputs - target) / (B K).
    """
    difference = outputs - target
    return (difference**2).mean(), 2 * difference / difference.numel()


class Backprop(torch.autograd.Function):
    """Lets `loss.backward()` run the backward pass of this file instead of autograd's.

    torch calls `Backprop.backward` with the gradient of whatever was computed from the loss: 1, or the factor of gradient
    accumulation or of a gradient scaler. Everything that works on `.grad`, such as an optimizer or DDP, works as usual. All
    values have the dtype of the weights, also under autocast.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, activation: Hidden, loss: Loss, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the mean loss (0-d) and the outputs (B, K). `parameters` are weight, bias, weight, bias, ..."""
        check_choice("loss", loss, get_args(Loss))
        layers = as_layers(parameters)
        device = x.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            outputs, kept = forward(x.to(parameters[0].dtype), layers, activation)
            value, doutputs = cross_entropy(outputs, y) if loss == "cross_entropy" else squared_error(outputs, y)
        ctx.activation = activation
        ctx.save_for_backward(doutputs, *parameters, *(tensor for layer in kept for tensor in layer))
        ctx.mark_non_differentiable(outputs)
        return value, outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of each argument of `forward`; None for those that are no parameters."""
        doutputs, *saved = ctx.saved_tensors
        num = len(saved) // 2
        layers, kept = as_layers(saved[:num]), [Kept(*pair) for pair in zip(saved[num::2], saved[num + 1 :: 2], strict=True)]
        gradients = backward(dloss * doutputs, kept, layers, ctx.activation)
        return (None, None, None, None, *(tensor for layer in gradients for tensor in (layer.weight, layer.bias)))


def as_layers(parameters: Sequence[Tensor]) -> list[Layer]:
    """Return the layers of an MLP from its parameters in the order weight, bias, weight, bias, ..."""
    return [Layer(*pair) for pair in zip(parameters[::2], parameters[1::2], strict=True)]
