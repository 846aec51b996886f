"""Backpropagation step by step for a network with two inputs, two hidden ReLU units and one output.

python recipes/mlp/backprop_by_hand.py      prints every step and draws backprop_by_hand.png; seconds on a CPU

All numbers are small and round, so that every line can be checked on paper. The gradients of `zoo/nn/backprop.py` are compared
with central finite differences and with autograd.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from zoo.nn.backprop import Kept, Layer, LayerGradients, backward, forward, squared_error

X, TARGET, LR = [[1.0, 2.0]], [[1.0]], 0.01
HIDDEN = [[0.5, 0.25], [-1.0, 1.0]], [0.0, -0.5]  # weight (2, 2): row j holds the weights of hidden unit j; bias (2,)
OUTPUT = [[2.0, -1.0]], [0.5]
STEP = 1e-5  # of the finite differences
VALUE, GRADIENT = "#1f3b73", "#c0392b"  # colours of the picture


def tensor(numbers: list[list[float]] | list[float]) -> Tensor:
    """Return numbers in float64."""
    return torch.tensor(numbers, dtype=torch.float64)


def show(value: Tensor | float) -> str:
    """Format a number with at most four decimals and without trailing zeros."""
    return f"{round(float(value), 4) + 0.0:g}"  # + 0.0 turns -0 into 0


def loss_of(x: Tensor, target: Tensor, layers: list[Layer]) -> float:
    """Return the loss of the network."""
    outputs, _ = forward(x, layers, "relu")
    return squared_error(outputs, target)[0].item()


def finite_differences(x: Tensor, target: Tensor, layers: list[Layer]) -> list[Tensor]:
    """Return the gradients of all parameters by changing each number a little in both directions."""
    found = []
    for parameter in (part for layer in layers for part in layer):
        gradient, flat = torch.zeros_like(parameter), parameter.view(-1)
        for place in range(flat.numel()):
            losses = []
            for change in (STEP, -STEP):
                flat[place] += change
                losses.append(loss_of(x, target, layers))
                flat[place] -= change
            gradient.view(-1)[place] = (losses[0] - losses[1]) / (2 * STEP)
        found.append(gradient)
    return found


def autograd(x: Tensor, target: Tensor, layers: list[Layer]) -> list[Tensor]:
    """Return the gradients of all parameters by torch's own functions and autograd."""
    parameters = [part.clone().requires_grad_() for layer in layers for part in layer]
    hidden = F.relu(F.linear(x, *parameters[:2]))
    return list(torch.autograd.grad(F.mse_loss(F.linear(hidden, *parameters[2:]), target), parameters))


def print_forward(kept: list[Kept], layers: list[Layer], output: Tensor, target: Tensor, loss: Tensor) -> None:
    """Print the forward pass and the loss, unit by unit."""
    (x,), (z,) = kept[0]
    (h,) = kept[1].a_prev
    weight, bias = layers[0]
    print(f"\nForward   x1 = {show(x[0])}   x2 = {show(x[1])}   target y = {show(target)}")
    for j in range(2):
        terms = f"{show(weight[j, 0])} * {show(x[0])} + {show(weight[j, 1])} * {show(x[1])} + {show(bias[j])}"
        print(f"  z{j + 1} = w{j + 1}1 x1 + w{j + 1}2 x2 + b{j + 1} = {terms} = {show(z[j])}")
        print(f"  h{j + 1} = max(0, z{j + 1}) = {show(h[j])}")
    (v,), c = layers[1]
    terms = f"{show(v[0])} * {show(h[0])} + {show(v[1])} * {show(h[1])} + {show(c)}"
    print(f"  o  = v1 h1 + v2 h2 + c = {terms} = {show(output)}")
    print(f"\nLoss\n  L = (o - y)^2 = ({show(output)} - {show(target)})^2 = {show(loss)}")


def print_backward(gradients: list[LayerGradients], kept: list[Kept], layers: list[Layer]) -> None:
    """Print the backward pass, from the loss to the inputs."""
    (x,), (z,) = kept[0]
    (h,) = kept[1].a_prev
    (v,), ((do,),) = layers[1].weight, gradients[1].z
    print("\nBackward")
    print(f"  dL/do  = 2 (o - y) = {show(do)}")
    for j in range(2):
        print(f"  dL/dv{j + 1} = dL/do h{j + 1} = {show(do)} * {show(h[j])} = {show(gradients[1].weight[0, j])}")
    print(f"  dL/dc  = dL/do = {show(gradients[1].bias)}")
    for j in range(2):
        dh, dz = gradients[1].a_prev[0, j], gradients[0].z[0, j]
        print(f"  dL/dh{j + 1} = dL/do v{j + 1} = {show(do)} * {show(v[j])} = {show(dh)}")
        print(f"  dL/dz{j + 1} = dL/dh{j + 1} * {int(z[j] > 0)} = {show(dz)}      (z{j + 1} {'>' if z[j] > 0 else '<='} 0)")
        for i in range(2):
            product = f"{show(dz)} * {show(x[i])} = {show(gradients[0].weight[j, i])}"
            print(f"  dL/dw{j + 1}{i + 1} = dL/dz{j + 1} x{i + 1} = {product}")
        print(f"  dL/db{j + 1} = dL/dz{j + 1} = {show(gradients[0].bias[j])}")
    for i in range(2):
        terms = " + ".join(f"{show(gradients[0].z[0, j])} * {show(layers[0].weight[j, i])}" for j in range(2))
        print(f"  dL/dx{i + 1} = dL/dz1 w1{i + 1} + dL/dz2 w2{i + 1} = {terms} = {show(gradients[0].a_prev[0, i])}")


NAMES = ("w11", "w12", "w21", "w22", "b1", "b2", "v1", "v2", "c")  # of all parameters, in the order of their tensors


def flat(tensors: list[Tensor]) -> list[float]:
    """Return all numbers of some tensors."""
    return torch.cat([part.flatten() for part in tensors]).tolist()


def print_checks(ours: list[Tensor], numeric: list[Tensor], theirs: list[Tensor]) -> None:
    """Print the gradients beside those of finite differences and of autograd.

    Raises:
        SystemExit: if they differ.
    """
    print(f"\nCheck     {'by hand':>10}{'finite differences':>21}{'autograd':>11}")
    for name, *values in zip(NAMES, flat(ours), flat(numeric), flat(theirs), strict=True):
        print(f"  dL/d{name:<4}{values[0]:>10.4f}{values[1]:>21.8f}{values[2]:>11.4f}")
    for others, most in ((numeric, 1e-6), (theirs, 1e-10)):
        largest = max(abs(a - b) for a, b in zip(flat(ours), flat(others), strict=True))
        if largest > most:
            raise SystemExit(f"the gradients differ by {largest:.2g}, expected at most {most:.0e}")


def print_update(layers: list[Layer], gradients: list[Tensor], updated: list[Layer]) -> None:
    """Print a step of gradient descent."""
    print(f"\nUpdate    new = old - {LR} * gradient")
    before, after = (flat([part for layer in parts for part in layer]) for parts in (layers, updated))
    for name, old, gradient, new in zip(NAMES, before, flat(gradients), after, strict=True):
        print(f"  {name:<3} = {show(old)} - {LR} * {show(gradient)} = {show(new)}")


def draw_graph(layers: list[Layer], kept: list[Kept], gradients: list[LayerGradients], output: Tensor, loss: Tensor) -> Figure:
    """Draw the computational graph: values in blue above the edges and within the nodes, gradients in red below them."""
    figure = Figure(figsize=(12, 5.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.9, 11.9), ylim=(-1.35, 4.65), aspect="equal")
    axes.set_axis_off()
    (x,), (z,) = kept[0]
    (h,) = kept[1].a_prev
    high, low, middle = 3.2, 0.6, 1.9
    rows = (high, low)
    for j in range(2):
        for i in range(2):
            share = 0.27 if i != j else 0.5  # where on the edge the numbers stand: those of crossing edges near their start
            label = f"w{j + 1}{i + 1} = {show(layers[0].weight[j, i])}", show(gradients[0].weight[j, i])
            edge(axes, (0, rows[i]), (3.4, rows[j]), *label, share=share)
        edge(axes, (3.4, rows[j]), (5.9, rows[j]), "ReLU", f"x {int(z[j] > 0)}")
        edge(axes, (5.9, rows[j]), (8.7, middle), f"v{j + 1} = {show(layers[1].weight[0, j])}", show(gradients[1].weight[0, j]))
        side = 1 if j == 0 else -1
        label = f"b{j + 1} = {show(layers[0].bias[j])}", show(gradients[0].bias[j])
        bias(axes, (3.4, rows[j]), side, *label)
    edge(axes, (8.7, middle), (11.2, middle), "(o - y)²", "")
    bias(axes, (8.7, middle), 1, f"c = {show(layers[1].bias)}", show(gradients[1].bias))
    for i in range(2):
        node(axes, (0, rows[i]), f"x{i + 1}", x[i], gradients[0].a_prev[0, i])
        node(axes, (3.4, rows[i]), f"z{i + 1}", z[i], gradients[0].z[0, i])
        node(axes, (5.9, rows[i]), f"h{i + 1}", h[i], gradients[1].a_prev[0, i])
    node(axes, (8.7, middle), "o", output, gradients[1].z)
    node(axes, (11.2, middle), "L", loss, tensor([1.0]))
    axes.text(-0.6, -1.1, "values, forward", color=VALUE, fontsize=13, weight="bold", va="center")
    axes.text(2.0, -1.1, "gradients dL/d(...), backward", color=GRADIENT, fontsize=13, weight="bold", va="center")
    axes.text(11.7, -1.1, f"target y = {show(tensor(TARGET))}", color="0.25", fontsize=13, ha="right", va="center")
    return figure


def node(axes: Axes, at: tuple[float, float], name: str, value: Tensor, gradient: Tensor) -> None:
    """Draw a circle with a name, a value and a gradient."""
    axes.scatter(*at, s=3900, facecolor="white", edgecolor="0.25", linewidth=1.6, zorder=3)
    axes.text(at[0], at[1] + 0.25, name, fontsize=11, color="0.25", ha="center", va="center", zorder=4)
    axes.text(*at, show(value), fontsize=14, color=VALUE, weight="bold", ha="center", va="center", zorder=4)
    axes.text(at[0], at[1] - 0.27, show(gradient), fontsize=12, color=GRADIENT, ha="center", va="center", zorder=4)


def edge(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], value: str, gradient: str, share: float = 0.5
) -> None:
    """Draw an arrow between two nodes with a value above it and a gradient below it, `share` of the way along."""
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.55", "linewidth": 1.4, "shrinkA": 31, "shrinkB": 32}
    )
    along = np.subtract(end, start)
    middle, across = np.add(start, share * along), np.array([-along[1], along[0]]) / np.hypot(*along)
    angle = float(np.degrees(np.arctan2(along[1], along[0])))
    style = {"fontsize": 12, "ha": "center", "va": "center", "rotation": angle, "zorder": 2}
    axes.text(*(middle + 0.2 * across), value, color=VALUE, **style)
    axes.text(*(middle - 0.2 * across), gradient, color=GRADIENT, **style)


def bias(axes: Axes, at: tuple[float, float], side: int, value: str, gradient: str) -> None:
    """Draw the bias of a unit above it (`side` 1) or below it (-1)."""
    start = at[0], at[1] + side * 1.15
    axes.annotate(
        "", at, start, arrowprops={"arrowstyle": "-|>", "color": "0.55", "linewidth": 1.4, "shrinkA": 2, "shrinkB": 32}
    )
    axes.text(start[0] - 0.08, start[1], value, color=VALUE, fontsize=12, ha="right", va="center")
    axes.text(start[0] + 0.08, start[1], gradient, color=GRADIENT, fontsize=12, ha="left", va="center")


def main(picture: Path) -> None:
    """Print forward pass, loss, backward pass, checks and update, and draw the graph into a file."""
    x, target = tensor(X), tensor(TARGET)
    layers = [Layer(tensor(weight), tensor(bias)) for weight, bias in (HIDDEN, OUTPUT)]
    output, kept = forward(x, layers, "relu")
    loss, doutput = squared_error(output, target)
    gradients = backward(doutput, kept, layers, "relu")
    of_parameters = [part for layer in gradients for part in (layer.weight, layer.bias)]
    print_forward(kept, layers, output, target, loss)
    print_backward(gradients, kept, layers)
    print_checks(of_parameters, finite_differences(x, target, layers), autograd(x, target, layers))
    updated = [
        Layer(layer.weight - LR * found.weight, layer.bias - LR * found.bias)
        for layer, found in zip(layers, gradients, strict=True)
    ]
    print_update(layers, of_parameters, updated)
    print(f"\nThe loss falls from {show(loss)} to {show(loss_of(x, target, updated))}.")
    draw_graph(layers, kept, gradients, output, loss).savefig(picture, dpi=110)
    print(f"picture: {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path("backprop_by_hand.png"))
    main(parser.parse_args().picture)
