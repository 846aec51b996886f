"""Is the receptive field what the formula says, and how much of it counts? (Araujo et al., 2019; Luo et al., 2016).

python recipes/claims/cnn/receptive_field.py [--full]        seconds on one CPU core; --full a minute

The reference adds (k - 1) times the product of the strides of preceding layers to the field for each layer. The formula of
Araujo et al. (doi:10.23915/distill.00021) multiplies this by the dilation. Both are compared with the field that autograd
measures: the extent of the pixels with a gradient from one central value of the last feature maps. For this measurement, all
weights are positive and maximum pools are averages of the same windows, so that no gradient vanishes by chance. The fields of
all layers on the way must grow or stay.

The effective field (arXiv:1701.04128) is measured with random weights and the network's own pools: the side of the smallest
square around the centre with 95 % of the squared gradient, over several images.

There are two controls. The dilated network without its dilation should agree with both formulas. A network of 1x1 convolutions
has k - 1 = 0, so its field must not grow.

Criterion: the claim holds if both formulas equal the measured field for every network and no layer's field is smaller than
that of the layer before it. It holds in part if this is true of the formula with dilation only.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchvision.models import resnet18, vgg11

from zoo.cli.claims import Claim, Row, judge, main
from zoo.cnn.simple_cnn import SimpleCNN
from zoo.nn.receptive_field import receptive_fields

CLAIM = "A layer widens the receptive field by (k - 1) times the product of the strides before it."
MASS = 0.95


def conv(kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution of 16 channels with fitting padding."""
    return nn.Conv2d(16, 16, kernel, stride, dilation * (kernel // 2), dilation)


def stack(*layers: nn.Module) -> nn.Sequential:
    """Return a network for grey images, with ReLUs between the layers."""
    return nn.Sequential(nn.Conv2d(1, 16, 1), *(each for layer in layers for each in (layer, nn.ReLU())))


class Case(NamedTuple):
    """A network with the side of its images, which should exceed its field, and the part that makes the last maps."""

    build: Callable[[], nn.Module]
    side: int
    channels: int = 1
    last: str = ""  # the whole network by default


CASES: dict[str, Case] = {
    "1x1 convolutions": Case(lambda: stack(conv(1), conv(1), conv(1)), 16),
    "3x3 convolutions": Case(lambda: stack(conv(3), conv(3), conv(3), conv(3)), 32),
    "strides and pools": Case(lambda: stack(conv(5, 2), nn.MaxPool2d(2), conv(3), nn.AvgPool2d(3, 2), conv(3)), 128),
    "dilation 1, 2, 4": Case(lambda: stack(conv(3), conv(3, dilation=2), conv(3, dilation=4)), 32),
    "the same without dilation": Case(lambda: stack(conv(3), conv(3), conv(3)), 32),
    "SimpleCNN": Case(lambda: SimpleCNN((1, 64, 64), 10, (8, 16, 32)), 64, 1, "features"),
    "VGG-11": Case(lambda: vgg11(), 320, 3, "features"),
    "ResNet-18": Case(lambda: resnet18(), 640, 3, "layer4"),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # of random weights and images for the effective field
    num_images: int
    names: tuple[str, ...]


FAST = Sizes(num_seeds=2, num_images=4, names=tuple(CASES)[:-2])
FULL = Sizes(num_seeds=3, num_images=2, names=tuple(CASES))
SMALLEST = FAST._replace(num_images=1)
CONTROLS = {"network": ["1x1 convolutions", "the same without dilation"]}


def gradient(case: Case, net: nn.Module, x: Tensor) -> Tensor:
    """Return the squared gradient (H, W) of one central value of the last maps, summed over images and channels."""
    seen: list[Tensor] = []
    part = net.get_submodule(case.last) if case.last else net
    hook = part.register_forward_hook(lambda module, args, output: seen.append(output))
    net.eval()(x.requires_grad_())
    hook.remove()
    height, width = seen[0].shape[2:]
    (found,) = torch.autograd.grad(seen[0][:, :, height // 2, width // 2].sum(), x)
    return found.square().sum((0, 1))


def averaging(net: nn.Module) -> nn.Module:
    """Make all weights of convolutions positive, and average instead of taking a maximum."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.MaxPool2d):
            net.set_submodule(name, nn.AvgPool2d(module.kernel_size, module.stride, module.padding))
    return net


class Window(NamedTuple):
    """The pixels that one value of the last maps depends on."""

    side: int
    centre: tuple[int, int]  # row and column


def measured_field(case: Case) -> Window:
    """Measure the receptive field of a central value."""
    squared = gradient(case, averaging(case.build()), torch.ones(1, case.channels, case.side, case.side))
    (top, bottom), (left, right) = ((int(each.min()), int(each.max())) for each in (squared > 0).nonzero().T)
    assert bottom - top == right - left
    return Window(bottom - top + 1, ((top + bottom) // 2, (left + right) // 2))


def effective_field(case: Case, centre: tuple[int, int], seed: int, num_images: int) -> int:
    """Measure the side of the smallest centred square with most of the squared gradient, with random weights."""
    torch.manual_seed(seed)
    net = case.build()
    squared = gradient(case, net, torch.randn(num_images, case.channels, case.side, case.side)).double()
    row, column = centre

    def mass(half: int) -> float:
        return squared[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1].sum().item()

    return 2 * next(half for half in range(case.side) if mass(half) >= MASS * mass(case.side)) + 1


def fields_by_layer(case: Case, with_dilation: bool) -> list[int]:
    """Compute the field after each layer, by the formula with dilation or by that of the reference."""
    net = case.build()
    if not with_dilation:
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
                module.dilation, module.padding = (1, 1), (module.kernel_size[0] // 2,) * 2
    layers = receptive_fields(net, (case.channels, case.side, case.side))
    return [each.field[0] for each in layers if "downsample" not in each.layer and each.layer != "avgpool"]  # shortcuts, heads


def measure(full: bool) -> Claim:
    """Measure the fields of all networks."""
    sizes = FULL if full else FAST
    seeds, curves = range(sizes.num_seeds), {name: fields_by_layer(CASES[name], True) for name in sizes.names}
    rows = []
    for name in sizes.names:
        case = CASES[name]
        window = measured_field(case)
        effective = [effective_field(case, window.centre, seed, sizes.num_images) for seed in seeds]
        rows.append(_row(name, window.side, fields_by_layer(case, False)[-1], curves[name][-1], effective))
    grows = all(a <= b for fields in curves.values() for a, b in pairwise(fields))
    right = {column: [row[column] == row["measured"] for row in rows] for column in ("reference", "with dilation")}
    wrong = [row["network"] for row, same in zip(rows, right["reference"], strict=True) if not same]
    verdict = judge(grows and all(right["reference"]), in_part=grows and all(right["with dilation"]))
    shares = [row["effective"] / row["measured"] for row in rows if row["measured"] > 1]
    measured = (
        f"of {len(rows)} networks, the formula with dilation is right for {sum(right['with dilation'])}, the reference's "
    )
    measured += f"for {sum(right['reference'])}" + (f" (not for {', '.join(wrong)})" if wrong else "")
    measured += (
        f"; the square with {MASS:.0%} of the squared gradient has {min(shares):.0%} to {max(shares):.0%} of the field's side"
    )
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(curves, rows))


def _row(name: str, measured: int, reference: int, dilated: int, effective: list[int]) -> Row:
    mean = sum(effective) / len(effective)
    return {"network": name, "measured": measured, "reference": reference, "with dilation": dilated, "effective": mean}


def _draw(curves: dict[str, list[int]], rows: list[Row]) -> Figure:
    """Draw the field by layer, and the effective field beside the whole one."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, fields in curves.items():
        left.plot(range(1, len(fields) + 1), fields, "o-", markersize=3, label=name)
    left.set_yscale("log")
    left.set_xticks(range(1, 1 + max(map(len, curves.values())), 2))
    left.set_xlabel("convolution or pool, from the first on")
    left.set_ylabel("side of the receptive field, pixels")
    left.legend(fontsize=8)
    places = range(len(rows))
    right.barh(places, [row["measured"] for row in rows], color="lightgrey", label="whole, measured")
    right.barh(places, [row["effective"] for row in rows], height=0.4, label=f"effective: {MASS:.0%} of the gradient")
    right.set_yticks(places, [row["network"] for row in rows])
    right.invert_yaxis()
    right.set_xscale("log")
    right.set_xlabel("side, pixels")
    right.legend(fontsize=8, loc="upper right")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
