"""Is backpropagation, written out layer by layer, what autograd computes? (Rumelhart, Hinton & Williams, 1986; Q1).

python recipes/claims/mlp/backprop_by_hand.py [--full]        seconds on one CPU core; --full a minute

The script writes out the backward pass of an MLP. It starts from the gradient of softmax and cross-entropy, (p - y) / B, and
visits the layers from the last to the first with dL/dW = (dL/dz)^T a_prev, dL/db = the sum of dL/dz over the batch, dL/da_prev
= dL/dz W and dL/dz_prev = dL/da_prev f'(z_prev). Its gradients for a batch of Digits are compared with those of autograd, and
with central differences of the loss, which use no derivative at all. The difference is relative to the largest gradient, in
float64. Then two copies of the network are trained by SGD, one with each kind of gradient.

Controls: the same code with one step left out or wrong.

- without f'(z): the derivative of the activation is left out
- dL/db = dL/dz: what the reference writes. It is right for one sample. For a batch, the sum over the samples is missing, and
  the first sample is taken here

Criterion, stated before the full measurement. The claim holds if for each activation and seed the difference from autograd is
below 1e-10, that from central differences is below 1e-6, and the weights differ by less than 1e-8 after training, while the
controls differ from autograd by more than 1e-2.
"""

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from recipes.claims.mlp.linear_collapse import Data, digits
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = (
    "Backpropagation is the chain rule applied layer by layer, from the last to the first: written by hand it equals autograd."
)
EXACT = 1e-10  # difference from autograd
NUMERIC = 1e-6  # difference from central differences
TRAINED_ALIKE = 1e-8  # difference of the weights after training
WRONG = 1e-2  # least difference of the controls
STEP = 1e-7  # of central differences
LR = 0.2
RULES = ("chain rule", "without f'(z)", "dL/db = dL/dz")
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {  # f and f', by z
    "sigmoid": (torch.sigmoid, lambda z: torch.sigmoid(z) * (1 - torch.sigmoid(z))),
    "tanh": (torch.tanh, lambda z: 1 - torch.tanh(z) ** 2),
    "ReLU": (F.relu, lambda z: (z > 0).to(z.dtype)),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    hidden_dims: tuple[int, ...]
    batch_size: int
    num_updates: int


class Layer(NamedTuple):
    """The parameters of a layer, weight (O, I) and bias (O,), or their gradients."""

    weight: Tensor
    bias: Tensor


FAST = Sizes(num_seeds=1, hidden_dims=(16, 16, 16), batch_size=32, num_updates=100)
FULL = FAST._replace(num_seeds=3, num_updates=300)
SMALLEST = FAST._replace(num_seeds=2, hidden_dims=(4, 4), batch_size=8, num_updates=2)
CONTROLS = {"rule": list(RULES[1:])}


def build(dims: list[int], seed: int) -> list[Layer]:
    """Draw normal weights with variance 1 / fan_in, and biases with deviation 0.1, in float64."""
    generator = torch.Generator().manual_seed(seed)
    pairs = pairwise(dims)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [Layer(normal(out, fan_in) / fan_in**0.5, 0.1 * normal(out)) for fan_in, out in pairs]


def forward(x: Tensor, layers: list[Layer], activation: str) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Compute the logits (B, K), and keep the input and the pre-activation of each layer."""
    function, _ = ACTIVATIONS[activation]
    a, kept = x, []
    for number, (weight, bias) in enumerate(layers, start=1):
        z = a @ weight.T + bias
        kept.append((a, z))
        a = z if number == len(layers) else function(z)
    return a, kept


def backward(x: Tensor, y: Tensor, layers: list[Layer], activation: str, rule: str) -> list[Layer]:
    """Compute the gradients of the mean cross-entropy for all layers, without autograd."""
    _, derivative = ACTIVATIONS[activation]
    logits, kept = forward(x, layers, activation)
    dz = (logits.softmax(1) - F.one_hot(y, logits.shape[1])) / len(x)
    gradients: list[Layer] = []
    for number in reversed(range(len(layers))):
        a_prev, _ = kept[number]
        db = dz[0] if rule == "dL/db = dL/dz" else dz.sum(0)
        gradients.insert(0, Layer(dz.T @ a_prev, db))
        if number > 0:
            da_prev = dz @ layers[number].weight
            dz = da_prev if rule == "without f'(z)" else da_prev * derivative(kept[number - 1][1])
    return gradients


def loss_of(x: Tensor, y: Tensor, layers: list[Layer], activation: str) -> Tensor:
    """Compute the mean cross-entropy."""
    return F.cross_entropy(forward(x, layers, activation)[0], y)


def by_autograd(x: Tensor, y: Tensor, layers: list[Layer], activation: str) -> list[Layer]:
    """Let autograd compute the gradients."""
    leaves = [Layer(*(parameter.clone().requires_grad_() for parameter in layer)) for layer in layers]
    flat = [parameter for layer in leaves for parameter in layer]
    gradients = torch.autograd.grad(loss_of(x, y, leaves, activation), flat)
    return [Layer(*pair) for pair in zip(gradients[::2], gradients[1::2], strict=True)]


def by_differences(x: Tensor, y: Tensor, layers: list[Layer], activation: str) -> list[Layer]:
    """Compute (L(w + h) - L(w - h)) / 2h for each weight and bias w."""
    gradients = [Layer(*map(torch.zeros_like, layer)) for layer in layers]
    for layer, found in zip(layers, gradients, strict=True):
        for parameter, gradient in zip(layer, found, strict=True):
            for place in range(parameter.numel()):
                value, losses = parameter.view(-1)[place].item(), []
                for shifted in (value + STEP, value - STEP):
                    parameter.view(-1)[place] = shifted
                    losses.append(loss_of(x, y, layers, activation).item())
                parameter.view(-1)[place] = value
                gradient.view(-1)[place] = (losses[0] - losses[1]) / (2 * STEP)
    return gradients


def difference(some: list[Layer], other: list[Layer]) -> float:
    """Compute the largest difference of all elements, relative to the largest element of `other`."""
    a, b = (torch.cat([tensor.flatten() for layer in layers for tensor in layer]) for layers in (some, other))
    return ((a - b).abs().max() / b.abs().max()).item()


def train(rule: str | None, activation: str, seed: int, data: Data, sizes: Sizes) -> tuple[list[Layer], list[float]]:
    """Train by SGD with the gradients of a rule (None: autograd); return the layers, and the loss before each update."""
    layers, generator = build([data.x.shape[1], *sizes.hidden_dims, 10], seed), torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(sizes.num_updates):
        rows = torch.randint(len(data.x), (sizes.batch_size,), generator=generator)
        x, y = data.x[rows].double(), data.y[rows]
        losses.append(loss_of(x, y, layers, activation).item())
        given = by_autograd(x, y, layers, activation) if rule is None else backward(x, y, layers, activation, rule)
        layers = [Layer(w - LR * dw, b - LR * db) for (w, b), (dw, db) in zip(layers, given, strict=True)]
    return layers, losses


def measure(full: bool) -> Claim:
    """Compare all gradients, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data = digits()
    x, y = data.x[: sizes.batch_size].double(), data.y[: sizes.batch_size]
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    curves: dict[str, list[float]] = {}
    for activation in ACTIVATIONS:
        for seed in range(sizes.num_seeds):
            layers = build([data.x.shape[1], *sizes.hidden_dims, 10], seed)
            auto, numeric = by_autograd(x, y, layers, activation), by_differences(x, y, layers, activation)
            auto_trained, auto_losses = train(None, activation, seed, data, sizes)
            for rule in RULES:
                gradients = backward(x, y, layers, activation, rule)
                trained, losses = train(rule, activation, seed, data, sizes)
                values = difference(gradients, auto), difference(gradients, numeric), difference(trained, auto_trained)
                found.setdefault((activation, rule), []).append(values)
                if activation == "tanh" and seed == 0:
                    curves["autograd"], curves[rule] = auto_losses, losses
    rows = [_row(*key, values) for key, values in found.items()]
    right = [row for row in rows if row["rule"] == RULES[0]]
    wrong = [row for row in rows if row["rule"] != RULES[0]]
    limits = {"from autograd": EXACT, "from differences": NUMERIC, "after training": TRAINED_ALIKE}
    largest = {column: max(row[column] for row in right) for column in limits}
    least = min(row["from autograd"] for row in wrong)
    measured = (
        f"largest difference from autograd {largest['from autograd']:.0e}, from central differences "
        f"{largest['from differences']:.0e}, of the weights after {sizes.num_updates} updates {largest['after training']:.0e}; "
        f"with a step left out or wrong at least {least:.2g} from autograd"
    )
    verdict = judge(all(largest[column] < limit for column, limit in limits.items()) and least > WRONG)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(rows, curves))


def _row(activation: str, rule: str, values: list[tuple[float, float, float]]) -> Row:
    """Take the largest differences of all seeds; of the controls, the least difference from autograd."""
    auto, numeric, trained = zip(*values, strict=True)
    finite = all(map(math.isfinite, trained))  # training by a wrong rule may diverge
    return {
        "activation": activation,
        "rule": rule,
        "from autograd": max(auto) if rule == RULES[0] else min(auto),
        "from differences": max(numeric),
        "after training": max(trained) if finite else None,
    }


def _draw(rows: list[Row], curves: dict[str, list[float]]) -> Figure:
    """Draw the difference from autograd by activation and rule, and the loss in training with each kind of gradient."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    bars, losses = figure.subplots(1, 2)
    for place, rule in enumerate(RULES):
        values = [row["from autograd"] for row in rows if row["rule"] == rule]
        bars.bar([number + 0.27 * (place - 1) for number in range(len(values))], values, width=0.27, label=rule)
    bars.axhline(EXACT, color="grey", linestyle="--", linewidth=0.8)
    bars.set_yscale("log")
    bars.set_ylim(1e-17, 1e4)
    bars.set_xticks(range(len(ACTIVATIONS)), list(ACTIVATIONS))
    bars.set_ylabel("relative difference from autograd")
    bars.legend(fontsize=9, ncols=3, loc="upper center")
    for name, values in curves.items():
        if name == "autograd":
            losses.plot(values, label=name, linewidth=6.0, color="lightgrey")
        else:
            losses.plot(
                values, "--" if name == RULES[0] else "-", label=name, linewidth=1.2, zorder=3 if name == RULES[0] else 2
            )
    losses.set_xlabel("update    (tanh, first seed)")
    losses.set_ylabel("loss of the batch")
    losses.set_yscale("log")
    losses.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
