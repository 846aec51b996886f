"""Which values can each activation function take? The reference's table against computed ranges.

python recipes/claims/mlp/activation_ranges.py [--full]        a second on one CPU core

No training and no seeds: each function is evaluated in float64. Its lowest and highest values are searched on a fine grid in
[-15, 15], where float64 still tells tanh(x) from 1, and refined by bisection on the derivative. Limits are taken at x = -10^6
and x = 10^6; a function that has passed 1000 there is unbounded. A bound is attained if a value in the window is as far out as
the limits are; then the interval is closed at this end. Softmax is measured as a function of one logit, with two others at 0.

Control: the identity, which has no bound, so that the search must find none.

Criterion, stated before the full measurement. The table is right about a function if its stated numbers equal the computed
bounds to the digits that are stated, and its brackets are right: square where the bound is attained, round where it is not. The
claim holds if the table is right about all functions, and in part if all numbers are right but not all brackets.

Two more things about the table. Its formula max(0.01 x, x) of the leaky ReLU is right only because the slope is below 1: for a
slope of 2 it would double positive inputs and not negative ones. And in float32 an open interval is not open: `sigmoid(20)`
and `tanh(10)` are exactly 1, and exp(x) in the formula of softmax overflows at x = 89 unless the largest logit is subtracted
first. The last column shows which ends float32 reaches on a grid in [-200, 200].
"""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Each activation has the range that the reference's table states."
WINDOW = 15.0
FAR = 1e6
BEYOND = 1000.0  # what an unbounded function has passed at FAR


class Stated(NamedTuple):
    """A range as the reference's table writes it."""

    low: float
    high: float
    brackets: str
    digits: int  # after the point, to which numbers are stated


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # 0: nothing is random
    num_points: int


FAST = FULL = Sizes(num_seeds=0, num_points=30_001)
SMALLEST = FAST._replace(num_points=3001)
CONTROLS = {"activation": ["identity"]}


def softmax(x: Tensor) -> Tensor:
    """Compute the first of three probabilities, for logits x, 0 and 0."""
    return torch.stack([x, torch.zeros_like(x), torch.zeros_like(x)]).softmax(0)[0]


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Stated]] = {
    "ReLU": (F.relu, Stated(0, math.inf, "[)", 0)),
    "Leaky ReLU": (lambda x: F.leaky_relu(x, 0.01), Stated(-math.inf, math.inf, "()", 0)),
    "GELU": (F.gelu, Stated(-0.17, math.inf, "()", 2)),
    "Sigmoid": (torch.sigmoid, Stated(0, 1, "()", 0)),
    "Tanh": (torch.tanh, Stated(-1, 1, "()", 0)),
    "Swish": (F.silu, Stated(-0.28, math.inf, "()", 2)),
    "Softmax": (softmax, Stated(0, 1, "()", 0)),
    "identity": (lambda x: x, Stated(-math.inf, math.inf, "()", 0)),
}


def lowest_point(function: Callable[[Tensor], Tensor], num_points: int) -> float:
    """Find the lowest place in the window: by bisection on the derivative, unless it is an end of the window."""
    x = torch.linspace(-WINDOW, WINDOW, num_points, dtype=torch.float64)
    place = int(function(x).argmin())
    if place in (0, num_points - 1):
        return x[place].item()
    low, high = x[place - 1].clone(), x[place + 1].clone()
    for _ in range(60):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(function(middle), middle)
        low, high = (middle.detach(), high) if slope < 0 else (low, middle.detach())
    return high.item()


class Bound(NamedTuple):
    """An end of a range."""

    value: float  # infinite if there is no bound
    attained: bool
    x: float | None  # where, if it is a single point


def bound(function: Callable[[Tensor], Tensor], sign: int, num_points: int) -> Bound:
    """Compute the lower (sign 1) or the upper (sign -1) end of the range."""

    def turned(x: Tensor) -> Tensor:
        return sign * function(x)

    limit = turned(torch.tensor([-FAR, FAR], dtype=torch.float64)).min().item()
    if limit < -BEYOND:
        return Bound(-sign * math.inf, False, None)
    x = lowest_point(turned, num_points)
    inside = turned(torch.tensor(x, dtype=torch.float64)).item()
    return Bound(sign * min(inside, limit) + 0.0, inside <= limit, x if inside < limit else None)  # + 0.0 turns -0.0 into 0


def interval(low: Bound, high: Bound, digits: int) -> str:
    """Write a range with square brackets where a bound is attained."""
    numbers = [f"{end.value:.{digits if math.isfinite(end.value) and end.value % 1 else 0}f}" for end in (low, high)]
    return f"{'[' if low.attained else '('}{numbers[0]}, {numbers[1]}{']' if high.attained else ')'}"


def reached_in_float32(function: Callable[[Tensor], Tensor], low: Bound, high: Bound) -> str:
    """Name the finite ends of an open range that float32 values reach."""
    values = function(torch.linspace(-200, 200, 4001))
    ends = [(end, value) for end, value in ((low, values.min()), (high, values.max())) if math.isfinite(end.value)]
    return " and ".join(f"{end.value:g}" for end, value in ends if not end.attained and value.item() == end.value)


def measure(full: bool) -> Claim:
    """Compute all ranges, and compare them with the table by the criterion above."""
    sizes = FULL if full else FAST
    ends = {name: [bound(function, sign, sizes.num_points) for sign in (1, -1)] for name, (function, _) in FUNCTIONS.items()}
    rows = [_row(name, *ends[name]) for name in FUNCTIONS]
    in_table = [row for row in rows if row["activation"] != "identity"]
    wrong = {row["activation"]: row for row in in_table if row["brackets"] == "wrong" or row["numbers"] == "wrong"}
    measured = f"{len(in_table) - len(wrong)} of {len(in_table)} ranges are right" + "".join(
        f"; {name} is {row['computed']}, not {row['stated']}: its minimum {row['lowest']:.6f} is reached at x = {row['at']:.4f}"
        for name, row in wrong.items()
    )
    verdict = judge(not wrong, in_part=all(row["numbers"] == "right" for row in in_table))
    return Claim(CLAIM, measured, verdict, [], rows, _draw(ends, rows))


def _row(name: str, low: Bound, high: Bound) -> Row:
    function, stated = FUNCTIONS[name]
    numbers = round(low.value, stated.digits) == stated.low and round(high.value, stated.digits) == stated.high
    brackets = ("[" if low.attained else "(") + ("]" if high.attained else ")")
    return {
        "activation": name,
        "stated": f"{stated.brackets[0]}{stated.low:g}, {stated.high:g}{stated.brackets[1]}",
        "computed": interval(low, high, digits=4),
        "lowest": low.value if math.isfinite(low.value) else None,
        "at": low.x,
        "numbers": "right" if numbers else "wrong",
        "brackets": "right" if brackets == stated.brackets else "wrong",
        "float32 reaches": reached_in_float32(function, low, high),
    }


def _draw(ends: dict[str, list[Bound]], rows: list[Row]) -> Figure:
    """Draw each function with its finite bounds, and its minimum where it is a single point."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    x = torch.linspace(-5, 5, 1001)
    for axes, row in zip(figure.subplots(2, 4).flat, rows, strict=True):
        name = row["activation"]
        axes.plot(x, FUNCTIONS[name][0](x))
        for end in ends[name]:
            if math.isfinite(end.value):
                axes.axhline(end.value, color="grey", linestyle="-" if end.attained else "--", linewidth=0.8)
            if end.x is not None:
                axes.plot(end.x, end.value, "o", color="tab:red")
                axes.annotate(f"({end.x:.3f}, {end.value:.4f})", (end.x, end.value), (-4.8, 0.9), color="tab:red", fontsize=9)
        if name in ("GELU", "Swish"):
            axes.set_ylim(-0.5, 2)
        axes.set_title(f"{name}\nstated {row['stated']}\ncomputed {row['computed']}", fontsize=9)
    figure.supxlabel("x    (solid line: bound that is reached; dashed: bound that is not)", fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
