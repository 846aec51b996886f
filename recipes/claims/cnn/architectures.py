"""How deep are AlexNet to ConvNeXt, and how large?

python recipes/claims/cnn/architectures.py [--full]        seconds on one CPU core; --full a minute

The reference lists AlexNet with 8 layers, VGG with 16 to 19, GoogLeNet with 22, ResNet with 50 to 152, and EfficientNet and
ConvNeXt with "varies". Depth is counted here as the papers count it: the convolutions and linear layers on the longest path
from the image to the logits. Networks are those of torchvision, built without memory for their weights, and the count follows
torch's operators. Years are those of the papers; parameters are counted.

The control counts all convolutions and linear layers, also those on parallel paths, which is not depth: it must differ for
GoogLeNet and ResNet. Two networks of known depth, a stack of three layers and the same stack beside a shorter branch, test the
counter.

Criterion: the claim holds if every depth is in the reference's range, and it holds in part if this is true of the networks
within these ranges, but the papers have members outside of them. Torchvision's GoogLeNet has 3x3 convolutions where the paper
has 5x5, which changes its parameters and not its depth. Squeeze-and-excitation gates add two layers per block to
EfficientNet's longest path.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torchvision.models as zoo_of
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "AlexNet has 8 layers, VGG 16 to 19, GoogLeNet 22, and ResNet 50 to 152."
RANGES = {"AlexNet": (8, 8), "VGG": (16, 19), "GoogLeNet": (22, 22), "ResNet": (50, 152)}
_aten = torch.ops.aten
_LAYERS = (_aten.convolution, _aten.addmm, _aten.mm, _aten.linear)


class Case(NamedTuple):
    """A network of a family, with the year of its paper."""

    family: str
    year: int
    build: Callable[[], nn.Module]
    side: int = 224


class Known(nn.Module):
    """A stack of three layers, with a branch of one layer beside them if asked for."""

    def __init__(self, branch: bool) -> None:
        super().__init__()
        self.stack = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)))
        self.branch = nn.Conv2d(3, 3, 1) if branch else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to the stack: x (B, 3, H, W) to the same shape."""
        return self.stack(x) if self.branch is None else self.branch(x) + self.stack(x)


CASES: dict[str, Case] = {
    "3 layers": Case("known", 2012, partial(Known, branch=False)),
    "3 layers and a branch": Case("known", 2012, partial(Known, branch=True)),
    "AlexNet": Case("AlexNet", 2012, zoo_of.alexnet),
    **{f"VGG-{n}": Case("VGG", 2014, zoo_of.get_model_builder(f"vgg{n}")) for n in (11, 13, 16, 19)},
    "GoogLeNet": Case("GoogLeNet", 2014, partial(zoo_of.googlenet, aux_logits=False, init_weights=False)),
    **{f"ResNet-{n}": Case("ResNet", 2015, zoo_of.get_model_builder(f"resnet{n}")) for n in (18, 34, 50, 101, 152)},
    **{f"EfficientNet-B{n}": Case("EfficientNet", 2019, zoo_of.get_model_builder(f"efficientnet_b{n}")) for n in (0, 4, 7)},
    **{f"ConvNeXt-{n}": Case("ConvNeXt", 2022, zoo_of.get_model_builder(f"convnext_{n.lower()}")) for n in ("Tiny", "Large")},
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # 0: layers are counted
    names: tuple[str, ...]


FULL = Sizes(num_seeds=0, names=tuple(CASES))
FAST = FULL._replace(names=tuple(name for name in CASES if not name.endswith(("B4", "B7", "Large", "152"))))
SMALLEST = FULL._replace(names=("3 layers", "3 layers and a branch", "AlexNet", "VGG-11", "GoogLeNet", "ResNet-18"))
CONTROLS = {"network": ["3 layers", "3 layers and a branch"]}


class Count(NamedTuple):
    """Layers of a network."""

    depth: int  # convolutions and linear layers on the longest path
    layers: int  # all of them
    parameters: int


class _Depths(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate its base
    """Follows the number of layers behind every tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.of = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        inputs = [each for arg in args for each in (arg if isinstance(arg, list | tuple) else [arg])]
        depth = max((self.of.get(each, 0) for each in inputs if isinstance(each, Tensor)), default=0)
        depth += func.overloadpacket in _LAYERS
        for output in outputs if isinstance(outputs, list | tuple) else [outputs]:
            if isinstance(output, Tensor):
                self.of[output] = depth
        return outputs


def count(case: Case) -> Count:
    """Build a network on the meta device, which has shapes and no numbers, and count its layers."""
    with torch.device("meta"), torch.no_grad(), _Depths() as depths:
        net = case.build().eval()
        depth = depths.of[net(torch.empty(1, 3, case.side, case.side))]
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules())
    return Count(depth, layers, sum(parameter.numel() for parameter in net.parameters()))


def measure(full: bool) -> Claim:
    """Count the layers of all networks."""
    sizes = FULL if full else FAST
    found = {name: count(CASES[name]) for name in sizes.names}
    rows = [_row(name, CASES[name], each) for name, each in found.items()]
    exact = all(row["depth"] == int("".join(filter(str.isdigit, row["network"])) or "0") for row in rows if _is_numbered(row))
    listed = [row for row in rows if row["reference"]]
    outside = [row["network"] for row in listed if not row["in range"]]
    inside = {row["family"] for row in listed if row["in range"]}
    right = exact and inside == {row["family"] for row in listed}
    measured = "depth: " + ", ".join(f"{row['network']} {row['depth']}" for row in rows if row["family"] != "known")
    measured += f"; outside of the reference's ranges: {', '.join(outside) or 'none'}"
    measured += f"; GoogLeNet has {found['GoogLeNet'].layers} layers, and its longest path has {found['GoogLeNet'].depth}"
    return Claim(CLAIM, measured, judge(right and not outside, in_part=right), [], rows, _draw(rows))


def _is_numbered(row: Row) -> bool:
    """Return whether the name of a network says its depth."""
    return row["family"] in ("VGG", "ResNet", "known")


def _row(name: str, case: Case, found: Count) -> Row:
    low, high = RANGES.get(case.family, (0, 0))
    return {
        "network": name,
        "family": case.family,
        "year": case.year,
        "depth": found.depth,
        "reference": (f"{low}-{high}" if low < high else str(low)) if high else "",
        "in range": low <= found.depth <= high if high else None,
        "all layers": found.layers,
        "parameters": found.parameters,
    }


def _draw(rows: list[Row]) -> Figure:
    """Draw parameters by depth; the families are colours."""
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    axes = figure.subplots()
    shown = [row for row in rows if row["family"] != "known"]
    for family in dict.fromkeys(row["family"] for row in shown):
        members = [row for row in shown if row["family"] == family]
        label = f"{family}, {members[0]['year']}"
        axes.plot([row["depth"] for row in members], [row["parameters"] for row in members], "o-", label=label)
        for row in members:
            text = row["network"].partition("-")[2]
            axes.annotate(text, (row["depth"], row["parameters"]), (4, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = (8, 16, 22, 50, 101, 152, 300)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("depth: layers on the longest path")
    axes.set_ylabel("parameters")
    figure.legend(loc="outside right upper")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
