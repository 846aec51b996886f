"""What does a 1x1 convolution do, and what does it save? (Lin, Chen & Yan, 2014, arXiv:1312.4400; He et al., 2016).

python recipes/claims/cnn/one_by_one.py [--full]        seconds on one CPU core

A 1x1 convolution is compared with a linear layer applied to the channels of each pixel. Then one pixel of the image is
changed, and the pixels of the output that change are counted. The control is a 3x3 convolution, which also mixes neighbours.

For the cost, parameters and multiplications are counted for a plain block of two 3x3 convolutions with 256 channels on 56x56
pixels, for ResNet's bottleneck, which reduces to 64 channels by a 1x1 convolution and expands again by another, and for the
control, the same block with 3x3 convolutions in the place of the 1x1 ones. What the saving is worth is measured on Digits:
small residual networks of two plain blocks with 16 channels, and of two bottlenecks with 64 channels (16 within), which have
about as many parameters, are trained for the same number of steps.

Criterion: the claim holds if the 1x1 convolution differs from the linear layer by less than 1e-5 of the output, keeps height
and width, and changes one pixel only, and if the bottleneck has less than a quarter of the parameters and of the work of the
plain block. It holds in part if only the cost is larger. The accuracies are stated beside it and decide nothing.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.cli.arms import Splits, accuracy, difference, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "A 1x1 convolution changes the number of channels and nothing else, and makes bottlenecks cheap."
SAME, CHEAP = 1e-5, 0.25
BLOCKS = {  # the kernels and channels of a block after its input
    "plain": ((3, 1.0), (3, 1.0)),
    "bottleneck": ((1, 0.25), (3, 0.25), (1, 1.0)),
    "bottleneck without 1x1": ((3, 0.25), (3, 0.25), (3, 1.0)),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_steps: int


FAST = Sizes(num_seeds=2, num_steps=60)
FULL = Sizes(num_seeds=5, num_steps=200)
SMALLEST = FAST._replace(num_steps=2)
CONTROLS = {"what": ["3x3 convolution", "bottleneck without 1x1, 256 channels"]}


class Residual(nn.Module):
    """A block of convolutions with batch norm, added to its input: (B, C, H, W) to the same shape.

    Args:
        kind: one of BLOCKS.
        width: C.
    """

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        fan_in = width
        for kernel, share in BLOCKS[kind]:
            fan_out = int(share * width)
            parts += [nn.Conv2d(fan_in, fan_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
            fan_in = fan_out
        self.body = nn.Sequential(*parts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Add the block to its input, and cut off below 0."""
        return (x + self.body(x)).relu()


class Cost(NamedTuple):
    """Cost of a block for one image."""

    parameters: int
    flops: int


def cost(kind: str, width: int, side: int) -> Cost:
    """Count the parameters and the multiplications and additions of a block."""
    with torch.device("meta"):
        block = Residual(kind, width)
        with FlopCounterMode(display=False) as counter:
            block(torch.empty(1, width, side, side))
    return Cost(sum(parameter.numel() for parameter in block.parameters()), counter.get_total_flops())


class Effect(NamedTuple):
    """What a convolution does."""

    difference: float  # to a linear layer with the weights of the kernel's centre, as a share of the output
    pixels: int  # of the output that change with one pixel of the input
    keeps_size: bool


def effect(kernel: int) -> Effect:
    """Compare a convolution from 8 to 5 channels with a linear layer at each pixel, and see how far a pixel reaches."""
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(8, 5, kernel, padding=kernel // 2), nn.Linear(8, 5)
    x = torch.randn(2, 8, 9, 9)
    other = x.clone()
    other[:, :, 4, 4] += 1
    with torch.no_grad():
        linear.weight.copy_(conv.weight[:, :, kernel // 2, kernel // 2])
        linear.bias.copy_(conv.bias)
        out, by_pixel = conv(x), linear(x.movedim(1, 3)).movedim(3, 1)
        changed = ((conv(other) - out).abs().amax((0, 1)) > SAME).sum()
    return Effect(((out - by_pixel).norm() / out.norm()).item(), int(changed), out.shape[2:] == x.shape[2:])


def build(kind: str, width: int) -> nn.Sequential:
    """Build a residual network of two blocks for Digits."""
    stem = [nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return nn.Sequential(*stem, Residual(kind, width), Residual(kind, width), *head)


def score(kind: str, width: int, seed: int, data: Splits, num_steps: int) -> float:
    """Train a network on Digits and return its test accuracy."""
    torch.manual_seed(seed)
    net = build(kind, width)
    train(net, data.train, torch.optim.AdamW(net.parameters(), lr=5e-3), num_steps, 64, seed)
    return accuracy(net, data.test)


def measure(full: bool) -> Claim:
    """Measure what the layers do, what the blocks cost, and what small networks make of it."""
    sizes = FULL if full else FAST
    seeds, data = range(sizes.num_seeds), images("digits")
    effects = {f"{kernel}x{kernel} convolution": effect(kernel) for kernel in (1, 3)}
    costs = {kind: cost(kind, 256, 56) for kind in BLOCKS}
    nets = {"plain": 16, "bottleneck": 64}
    scores = {kind: [score(kind, width, seed, data, sizes.num_steps) for seed in seeds] for kind, width in nets.items()}
    sizes_of = {kind: sum(p.numel() for p in build(kind, width).parameters()) for kind, width in nets.items()}
    one = effects["1x1 convolution"]
    does = one.difference < SAME and one.pixels == 1 and one.keeps_size
    shares = [b / a for a, b in zip(costs["plain"], costs["bottleneck"], strict=True)]
    gain, error = difference(scores["bottleneck"], scores["plain"])
    measured = f"a 1x1 convolution differs from a linear layer by {one.difference:.0e} and changes {one.pixels} pixel "
    measured += f"(3x3: {effects['3x3 convolution'].pixels}); a bottleneck has {shares[0]:.1%} of the parameters and "
    measured += f"{shares[1]:.1%} of the work of a plain block of its width; with about equal parameters "
    measured += f"({sizes_of['plain']:,} and {sizes_of['bottleneck']:,}), bottlenecks change the accuracy on Digits by "
    measured += f"{100 * gain:+.2f} ± {100 * error:.2f} points"
    rows = [_row(name, difference=each.difference, changed=each.pixels) for name, each in effects.items()]
    rows += [_row(f"{kind}, 256 channels", *each) for kind, each in costs.items()]
    rows += [_row(f"network of {kind} blocks, {nets[kind]} channels", sizes_of[kind], test=scores[kind]) for kind in nets]
    return Claim(CLAIM, measured, judge(does and max(shares) < CHEAP, in_part=does), list(seeds), rows, _draw(costs))


def _row(
    what: str,
    parameters: int | None = None,
    flops: int | None = None,
    difference: float | None = None,
    changed: int | None = None,
    test: list[float] | None = None,
) -> Row:
    mean, error = mean_and_error(test) if test else (None, None)
    row: Row = {"what": what, "difference to linear": difference, "pixels changed": changed, "parameters": parameters}
    return row | {"MFLOPs": flops and flops / 1e6, "test": mean, "error": error}


def _draw(costs: dict[str, Cost]) -> Figure:
    """Draw the parameters and the work of the blocks."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, Cost._fields, strict=True):
        values = [each._asdict()[name] for each in costs.values()]
        bars = axes.barh(range(len(costs)), values, color=["C0", "C1", "lightgrey"])
        axes.bar_label(
            bars, [f"{value / 1e6:,.3g} M" if value < 1e8 else f"{value / 1e6:,.0f} M" for value in values], padding=3
        )
        axes.set_xlim(0, 1.4 * max(values))
        axes.set_xticks([])
        axes.set_title("parameters" if name == "parameters" else "multiplications and additions", fontsize=11)
    panels[0].set_yticks(range(len(costs)), list(costs))
    panels[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
