"""Do ReLUs die at high learning rates, and leaky ReLUs not? (Maas et al., 2013).

python recipes/claims/mlp/dead_relu.py [--full]        seconds on one CPU core; --full four minutes

MLPs with three hidden layers of 64 units are trained on Digits with Adam at several learning rates. The two arms start from
equal weights, see the same batches and differ in the slope of the activation for negative inputs: 0 (ReLU), or 0.01 (leaky
ReLU). After training, units are counted over all training images:

- silent: the input of the activation is never positive
- dead: silent, and no image gives a gradient to any incoming weight, so that the unit cannot learn

Then the same networks are trained on at the lowest rate, and it is counted how many of the dead units come back.

Control: the lowest learning rate from the start.

Criterion, stated before the full measurement. ReLUs die if the share of dead units at the highest rate is at least 0.1 above
that at the lowest rate. They stay dead if at most 0.1 of them come back. Leaky ReLUs do not die if none is dead at any rate.
They train better if their mean test accuracy at the highest rate is at least 0.02 above that of ReLUs. The claim holds if all
four are true, and in part if ReLUs die and leaky ones do not. If the accuracy at the lowest rate is below 0.9, the verdict is
"cannot tell".
"""

import sys
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from recipes.claims.mlp.linear_collapse import Data, accuracy, digits, fit
from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet

CLAIM = "At high learning rates ReLUs die and stay dead; leaky ReLUs do not die, and train better."
DIE = 0.1  # share of units
COME_BACK = 0.1  # share of dead units
BETTER = 0.02  # accuracy
TRAINED = 0.9  # accuracy of the control
Name = Literal["relu", "leaky_relu"]
NAMES: dict[Name, str] = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    lrs: tuple[float, ...]  # ascending
    hidden_dim: int
    num_updates: int  # in each of both phases


class Found(NamedTuple):
    """Units (L, H) and the accuracy after training, and what became of them at the lowest rate."""

    silent: Tensor
    dead: Tensor
    accuracy: float
    dead_later: Tensor
    accuracy_later: float


FAST = Sizes(num_seeds=1, lrs=(0.001, 0.1), hidden_dim=64, num_updates=150)
FULL = FAST._replace(num_seeds=5, lrs=(0.001, 0.01, 0.03, 0.1), num_updates=500)
SMALLEST = FAST._replace(num_seeds=2, hidden_dim=8, num_updates=3)
CONTROLS = {"lr": [0.001]}


def build(name: Name, hidden_dim: int, seed: int) -> MLPNet:
    """Build a network. Leaky networks get the weights of ReLU networks, so that both arms start equal."""
    torch.manual_seed(seed)
    relu = MLPNet((64,), 10, [hidden_dim] * 3, "relu")
    net = MLPNet((64,), 10, [hidden_dim] * 3, name)
    net.load_state_dict(relu.state_dict())
    return net


def count(net: MLPNet, data: Data) -> tuple[Tensor, Tensor]:
    """Find the silent and the dead units (L, H), over all training images."""
    z: list[Tensor] = []
    x = data.x
    for layer in net.hidden:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            z.append(x)
    loss = F.cross_entropy(net.output(x), data.y, reduction="sum")
    gradients = torch.autograd.grad(loss, z)  # of each image on its own, as images do not interact
    silent = torch.stack([each.le(0).all(0) for each in z])
    return silent, silent & torch.stack([each.eq(0).all(0) for each in gradients])


def train(name: Name, lr: float, seed: int, data: Data, sizes: Sizes) -> Found:
    """Train at a rate, then at the lowest rate, and count units after each phase."""
    net = build(name, sizes.hidden_dim, seed)
    found: list[tuple[Tensor, Tensor, float]] = []
    for rate in (lr, sizes.lrs[0]):
        torch.manual_seed(seed)
        fit(net, data, torch.optim.Adam(net.parameters(), lr=rate, fused=True), sizes.num_updates)
        found.append((*count(net, data), accuracy(net, data.x_test, data.y_test)))
    (silent, dead, score), (_, dead_later, score_later) = found
    return Found(silent, dead, score, dead_later, score_later)


def measure(full: bool) -> Claim:
    """Train all arms, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data = digits()
    rows = {
        (name, lr): _row(name, lr, [train(name, lr, seed, data, sizes) for seed in range(sizes.num_seeds)])
        for name in NAMES
        for lr in sizes.lrs
    }
    lowest, highest = sizes.lrs[0], sizes.lrs[-1]
    relu, leaky = (rows[name, highest] for name in NAMES)
    die = relu["dead"] >= rows["relu", lowest]["dead"] + DIE
    leaky_live = all(rows["leaky_relu", lr]["dead"] == 0 for lr in sizes.lrs)
    stay = relu["come back"] is not None and relu["come back"] <= COME_BACK
    better = leaky["accuracy"] >= relu["accuracy"] + BETTER
    trained = all(rows[name, lowest]["accuracy"] >= TRAINED for name in NAMES)
    back = "none" if relu["come back"] is None else f"{relu['come back']:.2f}"
    measured = (
        f"at a rate of {highest:g}, {relu['dead']:.2f} of the ReLUs are dead ("
        f"{rows['relu', lowest]['dead']:.2f} at {lowest:g}), "
        f"and {back} of them come back; of the leaky ones {leaky['silent']:.2f} are silent and {leaky['dead']:.2f} dead. "
        f"Accuracy: {relu['accuracy']:.2f} and {leaky['accuracy']:.2f}, after more training at {lowest:g} "
        f"{relu['accuracy later']:.2f} and {leaky['accuracy later']:.2f}"
    )
    verdict = judge(die and stay and leaky_live and better, in_part=die and leaky_live, trained=trained)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(list(rows.values())))


def _row(name: Name, lr: float, found: list[Found]) -> Row:
    """Average over seeds. Nothing can come back where nothing died."""
    dead = sum(int(each.dead.sum()) for each in found)
    back = sum(int((each.dead & ~each.dead_later).sum()) for each in found)
    return {
        "activation": NAMES[name],
        "lr": lr,
        "silent": torch.stack([each.silent for each in found]).float().mean().item(),
        "dead": torch.stack([each.dead for each in found]).float().mean().item(),
        "come back": back / dead if dead else None,
        "accuracy": sum(each.accuracy for each in found) / len(found),
        "accuracy later": sum(each.accuracy_later for each in found) / len(found),
    }


def _draw(rows: list[Row]) -> Figure:
    """Draw the shares of silent and dead units, and the accuracy, by learning rate."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    units, scores = figure.subplots(1, 2)
    for name, color in zip(NAMES.values(), ("tab:red", "tab:blue"), strict=True):
        of_name = [row for row in rows if row["activation"] == name]
        lrs = [row["lr"] for row in of_name]
        units.plot(lrs, [row["silent"] for row in of_name], "o--", color=color, label=f"{name}, silent")
        units.plot(lrs, [row["dead"] for row in of_name], "s-", markersize=4, color=color, label=f"{name}, dead")
        scores.plot(lrs, [row["accuracy"] for row in of_name], "o-", color=color, label=name)
        scores.plot(
            lrs, [row["accuracy later"] for row in of_name], "o:", color=color, label=f"{name}, after more at {lrs[0]:g}"
        )
    for axes, label in ((units, "share of hidden units"), (scores, "test accuracy")):
        axes.set_xscale("log")
        axes.set_xlabel("learning rate of Adam")
        axes.set_ylabel(label)
        axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
