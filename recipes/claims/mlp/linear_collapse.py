"""What do linear layers gain from depth without activations between them? (Q2 of the interview questions).

python recipes/claims/mlp/linear_collapse.py [--full]        seconds on one CPU core; --full a minute

MLPs with the identity as their activation are trained with Adam on two rings, on two spirals (both in the plane, and no line
separates their classes) and on Digits. The arms differ in the number of hidden layers. Three things are measured.

- The collapse error. The weights of all layers are multiplied to one matrix, and the biases are carried along to one vector.
  The error is the largest difference between the network's outputs and those of this single layer, divided by the largest
  output, in float64.
- The excess: the training loss of the network minus that of the best linear classifier, which L-BFGS finds because the loss of
  a linear classifier is convex. It is not reported for Digits, where lines separate the training images and the best loss is
  0.
- The test accuracy.

Control: the same networks with ReLUs, from equal weights and with the same batches.

Criterion, stated before the full measurement. The ReLU networks have trained if on each data set the best of them has a mean
test accuracy of at least 0.95; otherwise the verdict is "cannot tell". The claim holds if each linear network has a collapse
error below 1e-12, no excess below -1e-9, and on rings and spirals a mean test accuracy at most 0.03 above that of the best
linear classifier.

The reference writes W2 W1 x = W' x. With biases the single map is affine, x -> W' x + b'. It also limits only what a deep
linear network can represent: its training takes another path than that of one layer (Saxe et al., 2014).
"""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from datamodules import Digits
from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet
from zoo.nn.activations import Activation

CLAIM = "Linear layers without activations between them are one linear map, and classify no better than one layer."
EXACT = 1e-12  # largest collapse error, relative
BELOW = -1e-9  # lowest excess
MORE = 0.03  # test accuracy that chance may add on the 2-D data
TRAINED = 0.95  # least test accuracy of the control
NOISE = 0.1  # of the points in the plane


ACTIVATIONS: tuple[Activation, ...] = ("identity", "relu")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    depths: tuple[int, ...]  # hidden layers
    hidden_dim: int
    num_updates: int
    num_points: int  # of the training part, in the plane


class Data(NamedTuple):
    """Training and test inputs (N, F) with their classes (N,)."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


FAST = Sizes(num_seeds=1, depths=(4,), hidden_dim=32, num_updates=300, num_points=500)
FULL = FAST._replace(num_seeds=3, depths=(1, 8), num_updates=500)
SMALLEST = FAST._replace(num_seeds=2, depths=(2,), hidden_dim=8, num_updates=5, num_points=40)
CONTROLS = {"activation": ["relu"]}


def digits() -> Data:
    """Return the training and test images of Digits as rows of 64 standardised pixels."""
    data = Digits()
    data.setup()
    parts = []
    for part in ("train", "test"):
        arrays, rows = data.splits[part]
        parts += [(arrays.x[rows].flatten(1) / 255 - data.mean[0]) / data.std[0], arrays.y[rows]]
    return Data(*parts)


def rings(num: int) -> tuple[Tensor, Tensor]:
    """Draw points (num, 2) near circles of radius 1 (class 0) and 2 (class 1)."""
    y = torch.arange(num) % 2
    angle = 2 * math.pi * torch.rand(num)
    x = (1 + y)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + NOISE * torch.randn(num, 2), y


def spirals(num: int) -> tuple[Tensor, Tensor]:
    """Draw points (num, 2) near two spirals, one per class, which are the same up to half a turn."""
    y = torch.arange(num) % 2
    radius = 0.3 + 1.7 * torch.rand(num)
    angle = 1.5 * math.pi * radius + math.pi * y
    x = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + NOISE / 2 * torch.randn(num, 2), y


def draw_data(name: str, num: int) -> Data:
    """Return a data set by its name. Points in the plane are drawn anew, with four times as many for the test."""
    draws: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {"rings": rings, "spirals": spirals}
    return digits() if name == "Digits" else Data(*draws[name](num), *draws[name](4 * num))


def fit(
    net: nn.Module,
    data: Data,
    optimizer: torch.optim.Optimizer,
    num_updates: int,
    loss_function: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    max_norm: float = math.inf,
    batch_size: int = 100,
) -> list[float]:
    """Train on random batches, with gradients clipped to `max_norm`, and return the loss of each."""
    losses = []
    for _ in range(num_updates):
        rows = torch.randint(len(data.x), (batch_size,))
        loss = loss_function(net(data.x[rows]), data.y[rows])
        optimizer.zero_grad()
        loss.backward()
        if max_norm < math.inf:
            nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Compute the share of inputs (N, F) whose class (N,) has the largest logit."""
    return (net(x).argmax(1) == y).float().mean().item()


def best_linear(data: Data) -> nn.Linear:
    """Fit one linear layer to the least cross-entropy, in float64. A small penalty keeps it finite on separable data."""
    net = nn.Linear(data.x.shape[1], int(data.y.max()) + 1).double()
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=300, tolerance_grad=1e-10, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(data.x.double()), data.y) + 1e-10 * net.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return net


def build(activation: Activation, input_dim: int, hidden_dims: list[int], num_classes: int, seed: int) -> MLPNet:
    """Build a network with He's weights for ReLU, whatever the activation, so that all arms start from equal weights."""
    torch.manual_seed(seed)
    relu = MLPNet((input_dim,), num_classes, hidden_dims, "relu")
    net = MLPNet((input_dim,), num_classes, hidden_dims, activation)
    for parameter, drawn in zip(net.parameters(), relu.parameters(), strict=True):
        parameter.data.copy_(drawn.data)
    return net


@torch.no_grad()
def collapse(net: MLPNet) -> tuple[Tensor, Tensor]:
    """Multiply the weights of all layers, and carry the biases along: W' (K, F) and b' (K,)."""
    weight, bias = torch.eye(math.prod(net.input_shape)).double(), torch.zeros(math.prod(net.input_shape)).double()
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.double() @ weight, layer.weight.double() @ bias + layer.bias.double()
    return weight, bias


@torch.no_grad()
def collapse_error(net: MLPNet, x: Tensor) -> float:
    """Compare the network's outputs for x (N, F) with those of its single layer, relative to the largest output."""
    weight, bias = collapse(net)
    outputs = net.double()(x.double())
    return ((outputs - (x.double() @ weight.T + bias)).abs().max() / outputs.abs().max()).item()


def measure(full: bool) -> Claim:
    """Train all networks on all data, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    rows: list[Row] = []
    panels: dict[str, tuple[Data, dict[str, nn.Module]]] = {}
    for name in ("rings", "spirals", "Digits"):
        found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
        for seed in range(sizes.num_seeds):
            torch.manual_seed(seed)
            data = draw_data(name, sizes.num_points)
            best = best_linear(data)
            with torch.no_grad():
                lowest = F.cross_entropy(best(data.x.double()), data.y).item()
            found.setdefault((0, "identity"), []).append((0.0, 0.0, accuracy(best, data.x_test.double(), data.y_test)))
            nets: dict[str, nn.Module] = {"one linear layer": best}
            for depth in sizes.depths:
                for activation in ACTIVATIONS:
                    net = build(activation, data.x.shape[1], [sizes.hidden_dim] * depth, int(data.y.max()) + 1, seed)
                    torch.manual_seed(seed)  # so that all arms have the same batches
                    fit(net, data, torch.optim.Adam(net.parameters(), lr=0.01, fused=True), sizes.num_updates)
                    score = accuracy(net, data.x_test, data.y_test)
                    with torch.no_grad():
                        excess = F.cross_entropy(net.double()(data.x.double()), data.y).item() - lowest
                    found.setdefault((depth, activation), []).append((collapse_error(net, data.x_test), excess, score))
                    nets[f"{depth} hidden, {activation}"] = net
            panels[name] = data, nets
        rows += [_row(name, *key, values) for key, values in found.items()]
    linear = [row for row in rows if row["activation"] == "identity"]
    plane = [row for row in linear if row["data"] != "Digits"]
    best_of = {row["data"]: row["accuracy"] for row in linear if row["hidden layers"] == 0}
    collapses = all(row["collapse error"] < EXACT for row in linear)
    no_better = all(row["excess"] > BELOW and row["accuracy"] <= best_of[row["data"]] + MORE for row in plane)
    relu = [row for row in rows if row["activation"] == "relu"]
    trained = all(_most(relu, name) >= TRAINED for name in best_of)
    measured = f"collapse error at most {max(row['collapse error'] for row in linear):.0e}. Test accuracy: " + "; ".join(
        f"{name} {best:.2f} with one linear layer, {_most(linear, name):.2f} with more, {_most(relu, name):.2f} with ReLUs"
        for name, best in best_of.items()
    )
    verdict = judge(collapses and no_better, in_part=collapses, trained=trained)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(panels))


def _most(rows: list[Row], name: str) -> float:
    return max(row["accuracy"] for row in rows if row["data"] == name and row["hidden layers"] > 0)


def _row(name: str, depth: int, activation: str, values: list[tuple[float, float, float]]) -> Row:
    """Take the largest collapse error, the lowest excess and the mean accuracy of the seeds."""
    errors, excesses, scores = zip(*values, strict=True)
    return {
        "data": name,
        "hidden layers": depth,
        "activation": activation,
        "collapse error": max(errors) if activation == "identity" else None,
        "excess": min(excesses) if name != "Digits" else None,
        "accuracy": sum(scores) / len(scores),
    }


@torch.no_grad()
def _draw(panels: dict[str, tuple[Data, dict[str, nn.Module]]]) -> Figure:
    """Draw what the last seed's networks predict in the plane: one linear layer, and the deepest networks."""
    names = [name for name in panels if name != "Digits"]
    figure = Figure(figsize=(9, 3 * len(names)), layout="constrained")
    grid = torch.cartesian_prod(*[torch.linspace(-2.6, 2.6, 200)] * 2).double()
    for name, row in zip(names, figure.subplots(len(names), 3, squeeze=False), strict=True):
        data, nets = panels[name]
        titles = ["one linear layer", *list(nets)[-2:]]
        for title, axes in zip(titles, row, strict=True):
            regions = nets[title](grid).argmax(1).view(200, 200).T
            axes.contourf(
                regions, levels=[-0.5, 0.5, 1.5], extent=(-2.6, 2.6, -2.6, 2.6), colors=["tab:blue", "tab:orange"], alpha=0.3
            )
            axes.scatter(*data.x.T, s=4, c=[("tab:blue", "tab:orange")[label] for label in data.y])
            score = accuracy(nets[title], data.x_test.double(), data.y_test)
            axes.set_title(f"{name}: {title}\ntest accuracy {score:.2f}", fontsize=10)
            axes.set(xticks=[], yticks=[], aspect="equal")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
