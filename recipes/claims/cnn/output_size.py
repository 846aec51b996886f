"""Which size has the output of a convolution or a pool? Does stride 2 halve it?

python recipes/claims/cnn/output_size.py [--full]        seconds on one CPU core

The formula is floor((n + 2p - d (k - 1) - 1) / s) + 1, for n pixels, kernel k, stride s, padding p on both sides and dilation
d. It is compared with the size that torch returns, for convolutions, max pools and average pools over a grid of settings. A
max pool with ceil_mode=True rounds up instead, so it should disagree.

Then the reference's two shorter rules are tested. "Stride 2 halves the size": for even n, with each kernel and padding of the
grid. "padding='same' keeps the size": torch refuses it with a stride above 1. The control is stride 1, which takes away what
halves; with the same paddings the size must stay.

Criterion: the claim holds if torch agrees with the formula in all cases, and stride 2 halves every even size for every kernel
and padding. It holds in part if only the first is true; the table then tells which paddings fit. They are those that keep the
size at stride 1, and for an even kernel, which no padding keeps, the one that makes the output one pixel smaller.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "An output has floor((n + 2p - d (k - 1) - 1) / s) + 1 pixels, so stride 2 halves the size."
ONE_STEP = torch.ones(1, 1, 1)


class Setting(NamedTuple):
    """Settings of a layer along one dimension."""

    size: int
    kernel: int
    stride: int
    padding: int
    dilation: int


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # 0: nothing is random
    largest: int
    kernels: tuple[int, ...]


FAST = Sizes(num_seeds=0, largest=20, kernels=(1, 2, 3, 5))
FULL = Sizes(num_seeds=0, largest=64, kernels=(1, 2, 3, 4, 5, 7))
SMALLEST = FAST._replace(largest=9)
CONTROLS = {"what": ["stride 1 keeps the size"]}


def formula(at: Setting) -> int:
    """Compute the size of the output."""
    return (at.size + 2 * at.padding - at.dilation * (at.kernel - 1) - 1) // at.stride + 1


def convolution(x: Tensor, at: Setting) -> Tensor:
    """Convolve x (1, 1, n)."""
    return F.conv1d(x, ONE_STEP.expand(1, 1, at.kernel), None, at.stride, at.padding, at.dilation)


LAYERS: dict[str, Callable[[Tensor, Setting], Tensor]] = {
    "convolution": convolution,
    "max pool": lambda x, at: F.max_pool1d(x, at.kernel, at.stride, at.padding, at.dilation),
    "average pool": lambda x, at: F.avg_pool1d(x, at.kernel, at.stride, at.padding),
    "max pool, ceil_mode": lambda x, at: F.max_pool1d(x, at.kernel, at.stride, at.padding, at.dilation, ceil_mode=True),
}


def settings(layer: str, sizes: Sizes) -> Iterator[Setting]:
    """Yield the settings of the grid that a layer accepts: a kernel within the padded input, a pool padded by half of it."""
    dilations = (1,) if layer == "average pool" else (1, 2, 3)
    for each in product(range(1, sizes.largest + 1), sizes.kernels, (1, 2, 3), (0, 1, 2, 3), dilations):
        at = Setting(*each)
        fits = at.dilation * (at.kernel - 1) + 1 <= at.size + 2 * at.padding
        if fits and (layer == "convolution" or 2 * at.padding <= at.kernel):
            yield at


def agreement(layer: str, sizes: Sizes) -> Row:
    """Compare torch with the formula."""
    x = torch.zeros(1, 1, sizes.largest)
    same = [LAYERS[layer](x[:, :, : at.size], at).shape[2] == formula(at) for at in settings(layer, sizes)]
    return _row(f"{layer}: the formula", sum(same), len(same))


def halving(kernel: int, padding: int, sizes: Sizes) -> Row:
    """Count the even sizes that stride 2 halves."""
    even = [n for n in range(2, sizes.largest + 1, 2) if kernel <= n + 2 * padding]
    found = [convolution(torch.zeros(1, 1, n), Setting(n, kernel, 2, padding, 1)).shape[2] for n in even]
    halved = sum(2 * out == n for out, n in zip(found, even, strict=True))
    return _row("stride 2 halves even sizes", halved, len(even), kernel, padding)


def keeping(kernel: int, padding: int, sizes: Sizes) -> Row:
    """Count the sizes that stride 1 keeps."""
    fit = [n for n in range(2, sizes.largest + 1, 2) if kernel <= n + 2 * padding]
    kept = sum(convolution(torch.zeros(1, 1, n), Setting(n, kernel, 1, padding, 1)).shape[2] == n for n in fit)
    return _row("stride 1 keeps the size", kept, len(fit), kernel, padding)


def same_padding(stride: int, sizes: Sizes) -> Row:
    """Count the sizes that padding='same' keeps at a stride. A refusal keeps none."""
    kept = 0
    with suppress(RuntimeError):  # "padding='same' is not supported for strided convolutions"
        for size in range(1, sizes.largest + 1):
            kept += F.conv1d(torch.zeros(1, 1, size), torch.ones(1, 1, 3), stride=stride, padding="same").shape[2] == size
    return _row(f"padding='same' keeps the size at stride {stride}", kept, sizes.largest, 3)


def _row(what: str, agree: int, cases: int, kernel: int | None = None, padding: int | None = None) -> Row:
    return {"what": what, "kernel": kernel, "padding": padding, "cases": cases, "agree": agree, "share": agree / cases}


def measure(full: bool) -> Claim:
    """Compare sizes, and count where the shorter rules are true."""
    sizes = FULL if full else FAST
    pairs = list(product(sizes.kernels, (0, 1, 2, 3)))
    formulas = {layer: agreement(layer, sizes) for layer in LAYERS}
    halves = [halving(*pair, sizes) for pair in pairs]
    rows = [*formulas.values(), *halves, *(keeping(*pair, sizes) for pair in pairs), *(same_padding(s, sizes) for s in (1, 2))]
    right = all(row["share"] == 1 for layer, row in formulas.items() if "ceil" not in layer)
    fitting = [(row["kernel"], row["padding"]) for row in halves if row["share"] == 1]
    cases = sum(row["cases"] for layer, row in formulas.items() if "ceil" not in layer)
    measured = f"torch {'agrees' if right else 'disagrees'} with the formula in {cases:,} cases"
    measured += f" (with ceil_mode in {formulas['max pool, ceil_mode']['share']:.0%}); stride 2 halves even sizes for "
    measured += f"{len(fitting)} of {len(pairs)} pairs of kernel and padding: " + ", ".join(f"{k} and {p}" for k, p in fitting)
    measured += f"; padding='same' keeps {rows[-2]['share']:.0%} of the sizes at stride 1 and is refused at stride 2"
    verdict = judge(right and len(fitting) == len(pairs), in_part=right)
    return Claim(CLAIM, measured, verdict, [], rows, _draw(halves))


def _draw(halves: list[Row]) -> Figure:
    """Draw the share of even sizes that stride 2 halves, by kernel and padding."""
    kernels, paddings = (sorted({row[name] for row in halves}) for name in ("kernel", "padding"))
    shares = torch.zeros(len(paddings), len(kernels))
    for row in halves:
        shares[paddings.index(row["padding"]), kernels.index(row["kernel"])] = row["share"]
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1.6, origin="lower")
    for row in halves:
        place = kernels.index(row["kernel"]), paddings.index(row["padding"])
        axes.text(*place, f"{row['share']:.0%}", ha="center", va="center")
    axes.set_xticks(range(len(kernels)), kernels)
    axes.set_yticks(range(len(paddings)), paddings)
    axes.set_xlabel("kernel")
    axes.set_ylabel("padding on each side")
    axes.set_title("Even sizes that stride 2 halves", fontsize=11)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
