"""The backward pass by hand equals autograd's, for every activation, loss, depth and batch size."""

from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.nn.backprop import Backprop, Hidden, Layer, Loss, backward, cross_entropy, forward, slope, squared_error

ACTIVATIONS, LOSSES = get_args(Hidden), get_args(Loss)
FUNCTIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
INPUTS, OUTPUTS = 5, 3


def make_layers(depth: int) -> list[Layer]:
    """Layers of an MLP with `depth` hidden layers, in float64."""
    widths = [INPUTS, *(4 + number for number in range(depth)), OUTPUTS]
    return [
        Layer(torch.randn(out, into, dtype=torch.float64), torch.randn(out, dtype=torch.float64))
        for into, out in pairwise(widths)
    ]


def make_batch(size: int, loss: Loss) -> tuple[Tensor, Tensor]:
    x = torch.randn(size, INPUTS, dtype=torch.float64)
    y = torch.arange(size) % OUTPUTS
    return x, y if loss == "cross_entropy" else torch.randn(size, OUTPUTS, dtype=torch.float64)


def autograd(x: Tensor, y: Tensor, layers: list[Layer], activation: Hidden, loss: Loss) -> tuple[Tensor, list[Tensor]]:
    """Loss by torch's functions, and autograd's gradients of the input, of all parameters and of all pre-activations."""
    x = x.clone().requires_grad_()
    parameters = [tensor.clone().requires_grad_() for layer in layers for tensor in layer]
    a, pre_activations = x, []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        pre_activations.append(z := F.linear(a, weight, bias))
        a = FUNCTIONS[activation](z)
    value = F.cross_entropy(z, y) if loss == "cross_entropy" else F.mse_loss(z, y)
    return value.detach(), list(torch.autograd.grad(value, [x, *parameters, *pre_activations]))


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 17])
@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_autograd(activation: Hidden, loss: Loss, depth: int, size: int) -> None:
    layers, (x, y) = make_layers(depth), make_batch(size, loss)
    outputs, kept = forward(x, layers, activation)
    value, dz = cross_entropy(outputs, y) if loss == "cross_entropy" else squared_error(outputs, y)
    gradients = backward(dz, kept, layers, activation)
    wanted_value, (dx, *wanted) = autograd(x, y, layers, activation, loss)
    close(value, wanted_value)
    close(gradients[0].a_prev, dx)
    of_parameters, of_z = wanted[: 2 * len(layers)], wanted[2 * len(layers) :]
    for number, found in enumerate(gradients):
        close(found.z, of_z[number])
        close(found.weight, of_parameters[2 * number])
        close(found.bias, of_parameters[2 * number + 1])


def test_softmax_and_cross_entropy_give_p_minus_y_over_the_batch() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    loss, gradient = cross_entropy(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(0.6931471805599453)  # ln 2
    assert gradient.tolist() == [[-0.25, 0.25], [0.25, -0.25]]


def test_cross_entropy_takes_probabilities_and_large_logits() -> None:
    y = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    loss, gradient = cross_entropy(logits.detach(), y)
    wanted = F.cross_entropy(logits, y)
    wanted.backward()
    torch.testing.assert_close(loss, wanted.detach())
    torch.testing.assert_close(gradient, logits.grad)


def test_the_slope_of_a_relu_at_zero_is_that_of_torch() -> None:
    z = torch.zeros(1, requires_grad=True)
    torch.relu(z).sum().backward()
    assert slope(z.detach(), "relu").item() == z.grad.item() == 0  # type: ignore[union-attr]  # there is a gradient


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradients_are_those_of_finite_differences(activation: Hidden, loss: Loss) -> None:
    parameters = [tensor.requires_grad_() for layer in make_layers(2) for tensor in layer]
    x, y = make_batch(6, loss)

    def of_parameters(*values: Tensor) -> Tensor:
        return Backprop.apply(x, y, activation, loss, *values)[0]

    assert torch.autograd.gradcheck(of_parameters, parameters)


def test_backward_fills_grad_scales_and_accumulates() -> None:
    layers, (x, y) = make_layers(1), make_batch(8, "cross_entropy")
    parameters = [tensor.clone().requires_grad_() for layer in layers for tensor in layer]
    for factor in (0.5, 3.0):
        loss, outputs = Backprop.apply(x, y, "tanh", "cross_entropy", *parameters)
        (factor * loss).backward()
        assert not outputs.requires_grad
    _, (_, *wanted) = autograd(x, y, layers, "tanh", "cross_entropy")
    for parameter, gradient in zip(parameters, wanted, strict=False):
        close(parameter.grad, 3.5 * gradient)  # type: ignore[arg-type]  # there is one


def test_the_hand_written_backward_pass_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(*arguments: Any) -> Any:
        return [type(found)(*(2 * tensor for tensor in found)) for found in backward(*arguments)]

    monkeypatch.setattr("zoo.nn.backprop.backward", doubled)
    layers, (x, y) = make_layers(1), make_batch(8, "cross_entropy")
    parameters = [tensor.clone().requires_grad_() for layer in layers for tensor in layer]
    Backprop.apply(x, y, "relu", "cross_entropy", *parameters)[0].backward()
    _, (_, *wanted) = autograd(x, y, layers, "relu", "cross_entropy")
    for parameter, gradient in zip(parameters, wanted, strict=False):
        close(parameter.grad, 2 * gradient)  # type: ignore[arg-type]  # there is one


def test_unknown_names_are_refused() -> None:
    layers, (x, y) = make_layers(1), make_batch(2, "cross_entropy")
    with pytest.raises(ValueError, match="unknown activation 'gelu': choose one of relu, sigmoid, tanh"):
        forward(x, layers, "gelu")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match="unknown loss 'hinge': choose one of cross_entropy, squared_error"):
        Backprop.apply(x, y, "relu", "hinge", *(tensor for layer in layers for tensor in layer))
