"""Does inverted dropout keep the expected output, so that nothing has to change in evaluation? (Srivastava et al., 2014).

python recipes/claims/training/dropout_expectation.py [--full]        seconds on one CPU core

Random inputs pass dropout and then a layer with random weights: a linear layer, a linear layer with ReLU, or a linear layer
with softmax. The outputs are averaged over many masks and compared with the outputs in evaluation mode. The bias is the root
mean square of the difference, over inputs and units, as a share of the root mean square of the outputs in evaluation mode. A
mean over finitely many masks differs from the expectation by its standard error even without bias, so the bias is stated in
standard errors as well: about 1 means that none is visible.

The control is dropout without the factor 1 / (1 - p), which the linear layer should multiply by 1 - p.

Criterion: the claim holds if the bias is below 1.5 standard errors for all three layers and every p. It holds in part if this
is true of the linear layer only, and the mean output of the control is 1 - p times that in evaluation mode, within 1 %.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Inverted dropout keeps the expected output, so that nothing has to change in evaluation."
VISIBLE = 1.5  # standard errors
LAYERS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "linear + ReLU": F.relu,
    "linear + softmax": lambda z: z.softmax(-1),
}
CONTROL = "linear, not scaled"


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_masks: int
    rates: tuple[float, ...]
    num_inputs: int
    num_units: int


FAST = Sizes(num_seeds=2, num_masks=2000, rates=(0.1, 0.5), num_inputs=100, num_units=20)
FULL = FAST._replace(num_seeds=5, num_masks=20_000, rates=(0.1, 0.3, 0.5, 0.8))
SMALLEST = FAST._replace(num_masks=20, num_inputs=10)
CONTROLS = {"layer": [CONTROL]}


class Bias(NamedTuple):
    """Deviation of the mean output over masks from the output in evaluation mode."""

    share: float  # root mean square, of that of the outputs
    errors: float  # root mean square, in standard errors
    factor: float  # of the mean output against that in evaluation mode, by least squares


def bias(layer: str, p: float, seed: int, sizes: Sizes) -> Bias:
    """Average outputs over masks."""
    torch.manual_seed(seed)
    x = torch.randn(20, sizes.num_inputs)
    weight = torch.randn(sizes.num_units, sizes.num_inputs) / sizes.num_inputs**0.5
    follow = LAYERS["linear" if layer == CONTROL else layer]
    expected = follow(x @ weight.T)  # dropout does nothing in evaluation mode
    total, squares = torch.zeros_like(expected, dtype=torch.float64), torch.zeros_like(expected, dtype=torch.float64)
    for _ in range(0, sizes.num_masks, num := min(sizes.num_masks, 500)):
        dropped = F.dropout(x.expand(num, -1, -1), p)
        outputs = follow((dropped * (1 - p) if layer == CONTROL else dropped) @ weight.T).double()
        total, squares = total + outputs.sum(0), squares + outputs.square().sum(0)
    mean = total / sizes.num_masks
    errors = ((squares / sizes.num_masks - mean.square()) / (sizes.num_masks - 1)).sqrt()
    deviation = (mean - expected).square().mean().sqrt()
    return Bias(
        (deviation / expected.square().mean().sqrt()).item(),
        (deviation / errors.square().mean().sqrt()).item(),
        ((mean * expected).sum() / expected.square().sum()).item(),
    )


def measure(full: bool) -> Claim:
    """Measure the bias of all layers at all rates."""
    sizes = FULL if full else FAST
    seeds = range(sizes.num_seeds)
    rows = [
        _row(layer, p, [bias(layer, p, seed, sizes) for seed in seeds]) for layer in (*LAYERS, CONTROL) for p in sizes.rates
    ]
    of = {layer: [row for row in rows if row["layer"] == layer] for layer in (*LAYERS, CONTROL)}
    kept = {layer: max(row["standard errors"] for row in of[layer]) < VISIBLE for layer in LAYERS}
    scaled = all(abs(row["factor"] / (1 - row["p"]) - 1) < 0.01 for row in of[CONTROL])
    verdict = judge(all(kept.values()), in_part=kept["linear"] and scaled)
    half = {layer: next(row for row in each if row["p"] == 0.5) for layer, each in of.items()}
    measured = "bias at p = 0.5: " + ", ".join(
        f"{layer} {row['bias']:.2g} ({row['standard errors']:.1f} standard errors)" for layer, row in half.items()
    )
    measured += f"; without the factor the mean output is {half[CONTROL]['factor']:.3f} of that in evaluation mode"
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(sizes.rates, of))


def _row(layer: str, p: float, values: list[Bias]) -> Row:
    share, errors, factor = (sum(column) / len(values) for column in zip(*values, strict=True))
    return {"layer": layer, "p": p, "bias": share, "standard errors": errors, "factor": factor}


def _draw(rates: tuple[float, ...], of: dict[str, list[Row]]) -> Figure:
    """Draw the bias by rate, in standard errors."""
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(1, color="lightgrey")
    axes.text(rates[-1], 1.15, "no bias visible", color="grey", fontsize=9, ha="right")
    for layer, rows in of.items():
        axes.plot(rates, [row["standard errors"] for row in rows], "o-", label=layer)
    axes.set_yscale("log")
    axes.set_ylim(0.6, 3000)
    axes.set_xlabel("p")
    axes.set_ylabel("bias of the mean output, in standard errors")
    axes.legend(fontsize=9, ncols=2, loc="upper left")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
