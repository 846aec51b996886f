"""Which initialisation suits which activation? (Glorot & Bengio, 2010; He et al., 2015; Saxe et al., 2014).

python recipes/claims/mlp/initialisation.py [--full]        seconds on one CPU core; --full three minutes

MLPs with 16 hidden layers of 64 units are initialised in five ways and trained on Digits with the same batches, for the same
number of updates by SGD with momentum 0.9, at the better of the same learning rates (by the loss of the last updates). The
arms:

- default: torch's, uniform in 1/sqrt(n), whose deviation is 1/sqrt(3 n). That of He's is sqrt(2/n), so torch's is 0.41 of it
- Xavier: normal with variance 2 / (n_in + n_out), as the reference writes it
- Xavier x 5/3: the same with tanh's gain in torch, for tanh alone
- He: normal with variance 2 / n_in
- orthogonal: orthogonal matrices, times sqrt(2) for ReLU

Before training, the standard deviation of the last hidden layer's activations is divided by that of the first, and the norm of
the gradient at the first layer's pre-activations by that at the last, both as geometric means over seeds. After training, the
test accuracy is measured.

Control: 2 hidden layers instead of 16.

Criterion, stated before the full measurement. An initialisation suits an activation if both ratios lie between 0.1 and 10, and
the mean accuracy at 16 layers is at most 0.02 below that of the best initialisation. The claim holds if He's suits ReLU and
Xavier's suits tanh, and in part if one of them does. If no initialisation reaches an accuracy of 0.9 with an activation, the
verdict is "cannot tell".
"""

import math
import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import nn

from recipes.claims.mlp.linear_collapse import Data, accuracy, digits, fit
from recipes.claims.mlp.vanishing_by_depth import ACTIVATIONS, INITS, DeepNet, Draw, gradient_norms
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "He's initialisation suits ReLU and Xavier's suits tanh: deep networks keep their scale and train best with them."
SCALE = (0.1, 10.0)
WITHIN = 0.02  # accuracy
TRAINED = 0.9  # accuracy


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    depths: tuple[int, int]  # the deep networks, and the control
    hidden_dim: int
    num_updates: int
    lrs: tuple[float, ...]


class Found(NamedTuple):
    """A network: its scale before training, and what became of it."""

    weights: float  # deviation of the weights in the last hidden layer, relative to He's
    activations: float  # spread in the last hidden layer, relative to the first
    gradient: float  # norm at the first hidden layer's pre-activations, relative to the last
    loss: float  # mean over the last updates
    accuracy: float


FAST = Sizes(num_seeds=1, depths=(12, 2), hidden_dim=64, num_updates=120, lrs=(0.02,))
FULL = FAST._replace(num_seeds=3, depths=(16, 2), num_updates=200, lrs=(0.003, 0.01))
SMALLEST = FAST._replace(num_seeds=2, depths=(3, 2), hidden_dim=8, num_updates=3)
CONTROLS = {"hidden layers": [2]}
DRAWS: dict[str, dict[str, Draw]] = {
    "ReLU": {
        **{name: INITS[name] for name in ("default", "Xavier", "He")},
        "orthogonal": lambda layer: nn.init.orthogonal_(layer.weight, gain=math.sqrt(2)),
    },
    "tanh": {**INITS, "orthogonal": lambda layer: nn.init.orthogonal_(layer.weight)},
}
SUITS = {"ReLU": "He", "tanh": "Xavier"}


def train(activation: str, init: str, depth: int, lr: float, seed: int, data: Data, sizes: Sizes) -> Found:
    """Build a network, measure its scale on all training images, and train it."""
    torch.manual_seed(seed)
    net = DeepNet(data.x.shape[1], sizes.hidden_dim, depth, ACTIVATIONS[activation], DRAWS[activation][init])
    weights = net.hidden[-1].weight.std().item() / math.sqrt(2 / sizes.hidden_dim)
    with torch.no_grad():
        spreads = [net.activate(z).std().item() for z in net.pre_activations(data.x)]
    signal = gradient_norms(net, data.x, data.y)[0]
    torch.manual_seed(seed)  # so that all arms have the same batches
    losses = fit(net, data, torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9), sizes.num_updates)
    last = sum(losses[-20:]) / len(losses[-20:])
    last = last if math.isfinite(last) else math.inf
    return Found(
        weights, spreads[-1] / spreads[0], (signal[0] / signal[-1]).item(), last, accuracy(net, data.x_test, data.y_test)
    )


def measure(full: bool) -> Claim:
    """Train all networks, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data, rows = digits(), []
    for depth in sizes.depths:
        for activation, draws in DRAWS.items():
            for init in draws:
                found = {
                    lr: [train(activation, init, depth, lr, seed, data, sizes) for seed in range(sizes.num_seeds)]
                    for lr in sizes.lrs
                }
                lr = min(found, key=lambda lr: sum(each.loss for each in found[lr]))
                rows.append(_row(depth, activation, init, lr, found[lr]))
    deep = [row for row in rows if row["hidden layers"] == sizes.depths[0]]
    best = {name: max(row["accuracy"] for row in deep if row["activation"] == name) for name in DRAWS}
    suited = {
        row["activation"]: all(SCALE[0] < row[name] < SCALE[1] for name in ("activations", "gradient"))
        and row["accuracy"] >= best[row["activation"]] - WITHIN
        for row in deep
        if row["init"] == SUITS[row["activation"]]
    }
    measured = f"accuracy with {sizes.depths[0]} hidden layers: " + "; ".join(
        f"{name}: " + ", ".join(f"{row['init']} {row['accuracy']:.2f}" for row in deep if row["activation"] == name)
        for name in DRAWS
    )
    shallow = [row["accuracy"] for row in rows if row["hidden layers"] == sizes.depths[1]]
    measured += f". With {sizes.depths[1]}: from {min(shallow):.2f} to {max(shallow):.2f}"
    verdict = judge(all(suited.values()), in_part=any(suited.values()), trained=min(best.values()) >= TRAINED)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(rows, sizes))


def _row(depth: int, activation: str, init: str, lr: float, found: list[Found]) -> Row:
    """Average over seeds: ratios as geometric means."""
    columns = Found(*(torch.tensor(values) for values in zip(*found, strict=True)))
    return {
        "hidden layers": depth,
        "activation": activation,
        "init": init,
        "weights / He's": columns.weights.mean().item(),
        "activations": columns.activations.log().mean().exp().item(),
        "gradient": columns.gradient.log().mean().exp().item(),
        "lr": lr,
        "accuracy": columns.accuracy.mean().item(),
        "lowest": columns.accuracy.min().item(),
    }


def _draw(rows: list[Row], sizes: Sizes) -> Figure:
    """Draw, for each activation and initialisation, both ratios of the deep network, and the accuracy at both depths."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    scale, scores = figure.subplots(1, 2)
    deep, shallow = ([row for row in rows if row["hidden layers"] == depth] for depth in sizes.depths)
    names = [f"{row['activation']}\n{row['init'].replace(' x ', chr(10) + 'x ')}" for row in deep]
    for axes, bars in (
        (
            scale,
            {
                "activations, last / first": [row["activations"] for row in deep],
                "gradient, first / last": [row["gradient"] for row in deep],
            },
        ),
        (
            scores,
            {
                f"{depth} hidden layers": [row["accuracy"] for row in part]
                for depth, part in zip(sizes.depths, (deep, shallow), strict=True)
            },
        ),
    ):
        for place, (label, values) in enumerate(bars.items()):
            axes.bar([number + 0.4 * place - 0.2 for number in range(len(names))], values, width=0.4, label=label)
        axes.set_xticks(range(len(names)), names, fontsize=8)
    scale.set_yscale("log")
    for axes in (scale, scores):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=9, frameon=False)
    scale.axhspan(*SCALE, color="lightgrey", alpha=0.5, zorder=0)
    scale.set_ylabel("before training (grey: scale kept)")
    scores.set_ylabel("test accuracy")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
