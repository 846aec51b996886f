"""Does each step of EfficientNet's compound scaling double the work? (Tan & Le, 2019, arXiv:1905.11946).

python recipes/claims/cnn/compound_scaling.py [--full]        seconds on one CPU core; --full a minute

The paper multiplies depth by 1.2, width by 1.1 and resolution by 1.15 at each step of its coefficient phi. Work grows with
depth, and with the square of width and of resolution, so by 1.2 * 1.1**2 * 1.15**2 = 1.92, "about 2". Parameters do not depend
on the resolution and grow by 1.2 * 1.1**2 = 1.45. Multiplications and additions of EfficientNet-B0 to B7 are counted by
torch's counter, on networks of timm built without memory for their weights.

In the controls one dimension alone is scaled from B0, by the same factor per step: each should cost its own factor only, 1.2
for depth, 1.21 for width and 1.32 for resolution.

Criterion: the claim holds if, from B0 to B7, the work grows by 1.92 per step within 10 % on average, and each single step is
within 25 % of it. It holds in part if only the average does. Whether compound scaling is the best use of the work is a claim
about accuracy on ImageNet, which is not measured here.
"""

import sys
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from timm.models.efficientnet import EfficientNet, _gen_efficientnet
from torch.utils.flop_counter import FlopCounterMode

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Each step of EfficientNet's compound scaling about doubles the work."
DEPTH, WIDTH, RESOLUTION = 1.2, 1.1, 1.15
ON_AVERAGE, EACH = 0.1, 0.25
BASE = 224  # pixels per side
PUBLISHED = (  # width, depth and resolution of B0 to B7, as in the paper's code
    *((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 300)),
    *((1.4, 1.8, 380), (1.6, 2.2, 456), (1.8, 2.6, 528), (2.0, 3.1, 600)),
)
SCALED = ("compound", "depth alone", "width alone", "resolution alone")


class Cost(NamedTuple):
    """Cost of one image."""

    flops: int  # multiplications and additions
    parameters: int


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # 0: operations are counted
    steps: tuple[int, ...]


FAST = Sizes(num_seeds=0, steps=(0, 7))
FULL = Sizes(num_seeds=0, steps=tuple(range(8)))
SMALLEST = FAST._replace(steps=(0, 1))
CONTROLS = {"scaled": list(SCALED[1:])}


@cache
def cost(width: float, depth: float, resolution: int) -> Cost:
    """Count the work and the parameters of an EfficientNet with these factors of B0."""
    with torch.device("meta"), torch.no_grad():
        net: EfficientNet = _gen_efficientnet("efficientnet_b0", channel_multiplier=width, depth_multiplier=depth).eval()
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, resolution, resolution))
    return Cost(counter.get_total_flops(), sum(parameter.numel() for parameter in net.parameters()))


def factors(scaled: str, step: int) -> tuple[float, float, int]:
    """Return width, depth and resolution after a step of scaling."""
    match scaled:
        case "compound":
            return PUBLISHED[step]
        case "depth alone":
            return 1.0, DEPTH**step, BASE
        case "width alone":
            return WIDTH**step, 1.0, BASE
        case "resolution alone":
            return 1.0, 1.0, round(BASE * RESOLUTION**step)
        case _:
            raise ValueError(f"expected one of {', '.join(SCALED)}, got {scaled}")


def measure(full: bool) -> Claim:
    """Count the cost of all networks."""
    steps = (FULL if full else FAST).steps
    found = {scaled: [cost(*factors(scaled, step)) for step in steps] for scaled in SCALED}
    growth = {
        scaled: [_per_step(*each) for each in pairwise(zip(steps, costs, strict=True))] for scaled, costs in found.items()
    }
    mean = {name: _per_step((steps[0], costs[0]), (steps[-1], costs[-1])) for name, costs in found.items()}
    predicted, single = DEPTH * WIDTH**2 * RESOLUTION**2, growth["compound"]
    on_average = abs(mean["compound"] / predicted - 1) <= ON_AVERAGE
    each = all(abs(times / predicted - 1) <= EACH for times in single)
    size = (found["compound"][-1].parameters / found["compound"][0].parameters) ** (1 / steps[-1])
    measured = f"work grows {mean['compound']:.2f} times per step from B0 to B{steps[-1]} (the factors give {predicted:.2f}), "
    measured += f"by {min(single):.2f} to {max(single):.2f} in single steps; parameters {size:.2f} times "
    measured += f"({DEPTH * WIDTH**2:.2f}); " + ", ".join(f"{name} {mean[name]:.2f}" for name in SCALED[1:])
    rows = [
        _row(scaled, step, costs[number], growth[scaled][number - 1] if number else None)
        for scaled, costs in found.items()
        for number, step in enumerate(steps)
    ]
    return Claim(CLAIM, measured, judge(on_average and each, in_part=on_average), [], rows, _draw(steps, found))


def _per_step(before: tuple[int, Cost], after: tuple[int, Cost]) -> float:
    """Return the growth of the work per step between two (step, cost)."""
    return (after[1].flops / before[1].flops) ** (1 / (after[0] - before[0]))


def _row(scaled: str, step: int, found: Cost, growth: float | None) -> Row:
    width, depth, resolution = factors(scaled, step)
    row: Row = {"scaled": scaled, "step": step, "width": width, "depth": depth, "resolution": resolution}
    return row | {"GFLOPs": found.flops / 1e9, "growth per step": growth, "parameters": found.parameters}


def _draw(steps: tuple[int, ...], found: dict[str, list[Cost]]) -> Figure:
    """Draw work and parameters by step, with the factors of the paper dotted."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), Cost._fields, strict=True):
        for scaled, costs in found.items():
            values = [each._asdict()[name] for each in costs]
            axes.plot(steps, [value / values[0] for value in values], "o-", label=scaled)
        factor = DEPTH * WIDTH**2 * (RESOLUTION**2 if name == "flops" else 1)
        axes.plot(steps, [factor**step for step in steps], ":", color="black", label=f"{factor:.2f} per step")
        axes.set_yscale("log", base=2)
        axes.set_xticks(steps, [f"B{step}" for step in steps])
        axes.set_xlabel("step of scaling")
        axes.set_ylabel("work, as a multiple of B0" if name == "flops" else "parameters, as a multiple of B0")
        axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
