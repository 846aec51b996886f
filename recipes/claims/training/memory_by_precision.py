"""Does mixed precision halve the memory? (Micikevicius et al., 2018, arXiv:1710.03740).

python recipes/claims/training/memory_by_precision.py [--full]        seconds on one CPU core

The reference says that mixed precision saves about 50 % of the memory. Training holds weights, their gradients, two averages
per weight for Adam, and the tensors that the forward pass saves for the backward pass. All are counted in bytes: the saved
tensors as torch hands them to torch.autograd.graph.saved_tensors_hooks, each storage once, without the weights themselves.
They are counted for a batch and for one of twice its size. What doubles are the activations; the rest are mostly the copies of
the weights in bf16 that autocast makes. A network is measured in fp32, the control; under bf16 autocast, which is mixed
precision; and with weights and inputs in bf16, which halves everything and is not what mixed precision means. fp16 takes as
many bytes as bf16.

Three networks are chosen by their share of activations: a CNN on small images, where they are most of the memory, a ResNet-18
on small images, and a wide MLP with a small batch, where weights are most of it.

Criterion: the claim holds if mixed precision takes between 40 % and 60 % of the memory of fp32 for all three networks. It
holds in part if this is true of the activations of the CNN and the ResNet. Counted is what lives from the forward to the
backward pass and longer; buffers within a layer are not. Weights, gradients and Adam's averages stay in fp32 under autocast.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchvision.models import resnet18

from zoo.cli.arms import conv_net, dense_net
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Mixed precision halves the memory of training."
HALF = (0.4, 0.6)
PRECISIONS = ("fp32", "bf16 autocast", "all bf16")
PARTS = ("weights", "gradients", "Adam", "activations", "copies")


class Case(NamedTuple):
    """A network and the shape of its batch."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int  # 0, because bytes are counted
    scale: int  # of batches and widths


FAST = Sizes(num_seeds=0, scale=1)
FULL = Sizes(num_seeds=0, scale=4)
SMALLEST = FAST
CONTROLS = {"precision": ["fp32", "all bf16"]}


def cases(scale: int) -> dict[str, Case]:
    """Return the networks. Norms are left in the precision that autocast chooses."""
    return {
        "small CNN": Case(lambda: conv_net((16, 32), nn.BatchNorm2d), (32 * scale, 1, 28, 28)),
        "ResNet-18": Case(lambda: resnet18(num_classes=10), (8 * scale, 3, 64, 64)),
        "wide MLP": Case(lambda: dense_net((784, 256 * scale, 256 * scale)), (8, 1, 28, 28)),
    }


def saved_bytes(net: nn.Module, x: Tensor, autocast: bool) -> int:
    """Count the bytes that the forward pass and a cross-entropy save for the backward pass, without the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    storages: dict[int, Any] = {}  # Keeping the storages prevents that an address is used twice.

    def keep(tensor: Tensor) -> Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in weights:
            storages[address] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(net(x), torch.zeros(len(x), dtype=torch.long))
        loss.backward()
    return sum(storage.nbytes() for storage in storages.values())


def count(case: Case, precision: str) -> dict[str, int]:
    """Count the bytes of a training step by what they hold."""
    torch.manual_seed(0)
    net, x = case.build(), torch.randn(case.shape)
    if precision == "all bf16":
        net, x = net.bfloat16(), x.bfloat16()
    autocast = precision == "bf16 autocast"
    once, twice = saved_bytes(net, x, autocast), saved_bytes(net, torch.cat([x, x]), autocast)
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.step()
    state = [value for each in optimizer.state.values() for name, value in each.items() if name != "step"]
    held = {"weights": list(net.parameters()), "gradients": [p.grad for p in net.parameters()], "Adam": state}
    counted = {name: sum(tensor.nbytes for tensor in tensors) for name, tensors in held.items()}
    return counted | {"activations": twice - once, "copies": 2 * once - twice}


def measure(full: bool) -> Claim:
    """Count the bytes of all networks in all precisions."""
    sizes = FULL if full else FAST
    found = {(name, each): count(case, each) for name, case in cases(sizes.scale).items() for each in PRECISIONS}
    rows = [_row(name, precision, parts, found[name, "fp32"]) for (name, precision), parts in found.items()]
    mixed = {row["network"]: row for row in rows if row["precision"] == "bf16 autocast"}

    def halves(column: str, networks: list[str]) -> bool:
        return all(HALF[0] <= mixed[name][column] <= HALF[1] for name in networks)

    verdict = judge(halves("total, share", list(mixed)), in_part=halves("activations, share", ["small CNN", "ResNet-18"]))
    measured = "memory under bf16 autocast as a share of fp32, activations and everything: "
    measured += ", ".join(f"{name} {row['activations, share']:.0%}, {row['total, share']:.0%}" for name, row in mixed.items())
    return Claim(CLAIM, measured, verdict, [], rows, _draw(found))


def _row(name: str, precision: str, parts: dict[str, int], control: dict[str, int]) -> Row:
    row: Row = {"network": name, "precision": precision}
    row |= {f"{part}, MB": parts[part] / 1e6 for part in PARTS}
    row["activations, share"] = parts["activations"] / control["activations"]
    row["total, share"] = sum(parts.values()) / sum(control.values())
    return row


def _draw(found: dict[tuple[str, str], dict[str, int]]) -> Figure:
    """Draw the memory of each network as a share of fp32, by what it holds."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    places = [number + number // len(PRECISIONS) for number in range(len(found))]
    left = [0.0] * len(found)
    for part in PARTS:
        shares = [parts[part] / sum(found[name, "fp32"].values()) for (name, _), parts in found.items()]
        axes.barh(places, shares, left=left, label=part)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set_yticks(places, [f"{name}, {precision}" for name, precision in found])
    axes.invert_yaxis()
    axes.set_xlabel("memory as a share of fp32")
    figure.legend(loc="outside upper center", ncols=len(PARTS), fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
