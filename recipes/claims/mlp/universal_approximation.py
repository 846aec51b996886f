"""How well does one hidden layer approximate a continuous function? (Cybenko, 1989; Hornik, 1991; Leshno et al., 1993).

python recipes/claims/mlp/universal_approximation.py [--full]        seconds on one CPU core; --full two minutes

The target is sin(5 x) + |x| / 2 for x in [-1, 1], which is continuous and has a kink. The error of a network is its largest
deviation on a fine grid, divided by the range of the target. The arms are networks with one hidden layer:

- ReLU, constructed: nothing is trained. n units put kinks at n equally spaced places, and the network is the polygon through
  the target's values there. This shows that good weights exist, which is what the theorem is about.
- ReLU, trained, and tanh, trained: with Adam and a cosine schedule on the squared error of 256 points.

Control: the identity as the activation, trained in the same way.

Criterion, stated before the full measurement. The claim holds if the error of the constructed network falls with every step in
width and ends below 0.01, and the control's never falls below 0.2. A measurement of one function can refute the theorem, not
prove it.

What the theorem does not promise is measured too: that training finds such weights, and that the network is right outside the
interval. The last column is the error for x in [1, 2].
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "One hidden layer approximates a continuous function the better the wider it is; without an activation it does not."
GOOD = 0.01  # error of the widest network
BAD = 0.2  # error of the control
LR = 0.01


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    widths: tuple[int, ...]
    num_updates: int


FAST = Sizes(num_seeds=1, widths=(2, 16, 128), num_updates=300)
FULL = FAST._replace(num_seeds=3, widths=(2, 8, 32, 128), num_updates=1000)
SMALLEST = FAST._replace(num_seeds=2, widths=(2, 8), num_updates=5)
CONTROLS = {"network": ["identity, trained"]}
ACTIVATIONS: dict[str, type[nn.Module]] = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "identity": nn.Identity}
Function = Callable[[Tensor], Tensor]


def target(x: Tensor) -> Tensor:
    """Compute the function to approximate, element by element."""
    return torch.sin(5 * x) + x.abs() / 2


def build(activation: str, width: int) -> nn.Sequential:
    """Build a network with one hidden layer: (N, 1) to (N, 1)."""
    return nn.Sequential(nn.Linear(1, width), ACTIVATIONS[activation](), nn.Linear(width, 1)).double()


@torch.no_grad()
def construct(width: int) -> nn.Sequential:
    """Build the ReLU network that is the polygon through the target's values at width + 1 places in [-1, 1]."""
    places = torch.linspace(-1, 1, width + 1, dtype=torch.float64)
    slopes = target(places).diff() / places.diff()
    net = build("ReLU", width)
    net[0].weight.fill_(1)
    net[0].bias.copy_(-places[:-1])  # unit i is x - places[i] to the right of its place, and 0 to the left
    net[2].weight.copy_(torch.cat([slopes[:1], slopes.diff()])[None])  # each unit adds the change of the slope
    net[2].bias.copy_(target(places[:1]))
    return net


def train(activation: str, width: int, num_updates: int, seed: int) -> nn.Sequential:
    """Train a network on 256 points of [-1, 1]."""
    torch.manual_seed(seed)
    net = build(activation, width)
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)[:, None]
    optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_updates)
    for _ in range(num_updates):
        loss = F.mse_loss(net(x), target(x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net


@torch.no_grad()
def error(net: nn.Sequential, low: float, high: float) -> float:
    """Compute the largest deviation from the target in [low, high], relative to the target's range in [-1, 1]."""
    x = torch.linspace(low, high, 4001, dtype=torch.float64)[:, None]
    span = target(torch.linspace(-1, 1, 4001, dtype=torch.float64))
    return ((net(x) - target(x)).abs().max() / (span.max() - span.min())).item()


def measure(full: bool) -> Claim:
    """Construct and train networks of all widths, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    nets = {("ReLU, constructed", width): [construct(width)] for width in sizes.widths}
    for activation in ACTIVATIONS:
        for width in sizes.widths:
            nets[f"{activation}, trained", width] = [
                train(activation, width, sizes.num_updates, seed) for seed in range(sizes.num_seeds)
            ]
    rows = [_row(*key, of_seeds) for key, of_seeds in nets.items()]
    errors = {name: [row["error"] for row in rows if row["network"] == name] for name, _ in nets}
    constructed = errors["ReLU, constructed"]
    falls = all(after < before for before, after in pairwise(constructed))
    widest = {row["network"]: row for row in rows if row["width"] == sizes.widths[-1]}
    measured = f"error with {sizes.widths[-1]} units, and outside the interval: " + ", ".join(
        f"{name} {row['error']:.2g}, {row['outside']:.2g}" for name, row in widest.items()
    )
    verdict = judge(falls and constructed[-1] < GOOD and min(errors["identity, trained"]) >= BAD)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), rows, _draw(errors, sizes.widths, nets))


def _row(name: str, width: int, nets: list[nn.Sequential]) -> Row:
    """Average over seeds."""
    inside, outside = ([error(net, *interval) for net in nets] for interval in ((-1, 1), (1, 2)))
    return {
        "network": name,
        "width": width,
        "error": sum(inside) / len(nets),
        "largest": max(inside),
        "outside": sum(outside) / len(nets),
    }


@torch.no_grad()
def _draw(errors: dict[str, list[float]], widths: tuple[int, ...], nets: dict[tuple[str, int], list[nn.Sequential]]) -> Figure:
    """Draw the error by width, and the widest networks in and beside the interval."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_width, curves = figure.subplots(1, 2)
    x = torch.linspace(-1.5, 2, 701, dtype=torch.float64)
    curves.axvspan(-1, 1, color="lightgrey", alpha=0.4)
    curves.plot(x, target(x), color="black", linewidth=3, alpha=0.4, label="target")
    for name, values in errors.items():
        (line,) = by_width.plot(widths, values, "o-", label=name)
        curves.plot(x, nets[name, widths[-1]][0](x[:, None])[:, 0], color=line.get_color(), linewidth=1.2, label=name)
    by_width.set_xscale("log", base=2)
    by_width.set_yscale("log")
    by_width.set_xlabel("hidden units")
    by_width.set_ylabel("largest error, relative to the target's range")
    by_width.legend(fontsize=9)
    curves.set_ylim(-2, 3)
    curves.set_xlabel(f"x    (grey: the interval; networks with {widths[-1]} units)")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
