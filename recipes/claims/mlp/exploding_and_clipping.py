"""What happens with initial weights that are too large, and what helps? (Pascanu et al., 2013; Ioffe & Szegedy, 2015).

python recipes/claims/mlp/exploding_and_clipping.py [--full]        seconds on one CPU core; --full two minutes

ReLU MLPs with 10 hidden layers of 64 units are trained on Digits by SGD, all from the same weights: He's, times 2. Each layer
then doubles its inputs on the way forward and the gradient on the way back. The arms add one thing to this network:

- nothing
- clipping of the gradient's norm to 1
- weight decay of 5e-4, as usual, or of 10, with which each update takes 10 % off the weights
- batch norm before each activation

Reported are the loss and the norm of the gradient before the first update, the share of the updates before which the loss is
finite, the last loss, and the test accuracy.

Control: He's weights, not enlarged, without a cure.

Criterion, stated before the full measurement. Gradients explode if the loss of the untreated network becomes inf or NaN with
every seed, and that of the control with none. A cure prevents NaN if all losses are finite, and repairs training if in addition
the mean accuracy is at most 0.05 below the control's. The claim holds if clipping, the usual weight decay and batch norm all
repair training, and in part if at least one of them does. If the control's accuracy is below 0.9, the verdict is "cannot tell".
"""

import math
import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from recipes.claims.mlp.linear_collapse import Data, accuracy, digits, fit
from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet

CLAIM = "Large initial weights make gradients explode until the loss is NaN; clipping, weight decay and batch norm repair that."
LOST = 0.05  # accuracy that a cure may cost
TRAINED = 0.9  # accuracy of the control
LR = 0.01


class Arm(NamedTuple):
    """What an arm adds to He's weights."""

    scale: float = 2.0  # of the hidden layers' weights
    max_norm: float = math.inf
    weight_decay: float = 0.0
    batch_norm: bool = False


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    depth: int
    hidden_dim: int
    num_updates: int


class Found(NamedTuple):
    """How training went."""

    first_loss: float
    first_norm: float  # of the whole gradient
    losses: list[float]
    accuracy: float


FAST = Sizes(num_seeds=1, depth=10, hidden_dim=64, num_updates=100)
FULL = FAST._replace(num_seeds=3, num_updates=600)
SMALLEST = FAST._replace(num_seeds=2, depth=3, hidden_dim=8, num_updates=3)
CONTROLS = {"arm": ["He's weights"]}
ARMS = {
    "He's weights": Arm(scale=1.0),
    "He's weights x 2": Arm(),
    "clipping to 1": Arm(max_norm=1.0),
    "weight decay 5e-4": Arm(weight_decay=5e-4),
    "weight decay 10": Arm(weight_decay=10.0),
    "batch norm": Arm(batch_norm=True),
}
CURES = ("clipping to 1", "weight decay 5e-4", "batch norm")


def build(arm: Arm, seed: int, input_dim: int, sizes: Sizes) -> MLPNet:
    """Build a network with He's weights, times the arm's factor in all hidden layers."""
    torch.manual_seed(seed)
    net = MLPNet((input_dim,), 10, [sizes.hidden_dim] * sizes.depth, norm="batch" if arm.batch_norm else "none")
    with torch.no_grad():
        for layer in net.hidden:
            if isinstance(layer, nn.Linear):
                layer.weight *= arm.scale
    return net


def train(arm: Arm, seed: int, data: Data, sizes: Sizes) -> Found:
    """Measure the gradient of all training images, and train."""
    net = build(arm, seed, data.x.shape[1], sizes)
    loss = F.cross_entropy(net(data.x), data.y)
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9, weight_decay=arm.weight_decay)
    torch.manual_seed(seed)  # so that all arms have the same batches
    losses = fit(net, data, optimizer, sizes.num_updates, max_norm=arm.max_norm)
    return Found(loss.item(), norm, losses, accuracy(net.eval(), data.x_test, data.y_test))


def measure(full: bool) -> Claim:
    """Train all arms, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data = digits()
    found = {name: [train(arm, seed, data, sizes) for seed in range(sizes.num_seeds)] for name, arm in ARMS.items()}
    rows = {name: _row(name, each) for name, each in found.items()}
    control, untreated = rows["He's weights"], rows["He's weights x 2"]
    explodes = untreated["seeds finite"] == 0 and control["seeds finite"] == sizes.num_seeds
    repairs = {
        name: rows[name]["seeds finite"] == sizes.num_seeds and rows[name]["accuracy"] >= control["accuracy"] - LOST
        for name in CURES
    }
    measured = (
        f"first gradient norm {control['first norm']:.1g} with He's weights, {untreated['first norm']:.0e} with twice that; "
        + (
            ", ".join(
                f"{name} {row['accuracy']:.2f}" + ("" if row["seeds finite"] == sizes.num_seeds else " (loss not finite)")
                for name, row in rows.items()
            )
        )
    )
    verdict = judge(
        explodes and all(repairs.values()), in_part=explodes and any(repairs.values()), trained=control["accuracy"] >= TRAINED
    )
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(found))


def _finite(losses: list[float]) -> int:
    """Count the updates before the first loss that is not finite."""
    return next((number for number, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))


def _row(name: str, found: list[Found]) -> Row:
    """Average over seeds. The last loss is None if it is not finite with some seed."""
    last = sum(each.losses[-1] for each in found) / len(found)
    return {
        "arm": name,
        "first loss": sum(each.first_loss for each in found) / len(found),
        "first norm": sum(each.first_norm for each in found) / len(found),
        "finite": sum(_finite(each.losses) / len(each.losses) for each in found) / len(found),
        "seeds finite": sum(_finite(each.losses) == len(each.losses) for each in found),
        "last loss": last if math.isfinite(last) else None,
        "accuracy": sum(each.accuracy for each in found) / len(found),
    }


def _draw(found: dict[str, list[Found]]) -> Figure:
    """Draw the loss of the first seed by update: the first updates of all arms, and all updates of those that stay finite."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    start, whole = figure.subplots(1, 2)
    for number, (name, each) in enumerate(found.items()):
        losses = each[0].losses
        finite = _finite(losses)
        start.plot(losses[: min(finite, 6)], "o-", markersize=4, color=f"C{number}", label=name)
        if finite < len(losses):
            start.plot(finite - 1, losses[finite - 1], "x", markersize=12, markeredgewidth=3, color=f"C{number}")
        else:
            whole.plot(losses, color=f"C{number}", label=name)
    start.set_xlabel("update    (cross: the next loss is inf or NaN)")
    start.set_ylabel("loss of the batch, first seed")
    whole.set_xlabel("update    (arms whose loss stays finite)")
    for axes in (start, whole):
        axes.set_yscale("log")
        axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
