"""How much do outputs differ between training and evaluation mode with batch norm, and with layer norm? (Q3 of the reference).

python recipes/claims/training/batchnorm_modes.py [--full]        seconds on one CPU core

MLPs with batch norm and with layer norm (Ba et al., 2016, arXiv:1607.06450) are trained on Digits with batches of 64. Then the
same batch of test images is read in training mode and in evaluation mode, for batches of different sizes. The difference is
the root mean square of the change of the logits, as a share of the root mean square of the logits, and the share of images
whose predicted class changes. In training mode, batch norm uses mean and variance of the batch, so an image's logits depend on
the other images. In evaluation mode it uses running averages from training. Layer norm uses one sample only, in both modes.

There are two controls, both batch norm. In the first, the running statistics are set to mean and variance of the batch, so
that the cause of the difference is gone. In the second, they come from this batch alone (momentum 1), as torch stores them: it
normalises by the variance with divisor n, but stores the one with divisor n - 1, so that small batches differ even then.
Training mode refuses a batch of one.

Criterion: the claim holds if the logits with batch norm differ by more than 1 % at every batch size, those with layer norm by
exactly 0, and those of the first control by less than 0.01 %.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import dense_net, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Batch norm's outputs differ between training and evaluation mode; layer norm's do not."
DIFFERS, SAME = 1e-2, 1e-4
ARMS = ("batch norm", "layer norm", "batch norm, statistics of the batch", "batch norm, momentum 1")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_steps: int
    batch_sizes: tuple[int, ...]


FAST = Sizes(num_seeds=2, num_steps=100, batch_sizes=(2, 8, 32, 128))
FULL = Sizes(num_seeds=5, num_steps=400, batch_sizes=(2, 4, 8, 16, 32, 64, 128, 256))
SMALLEST = FAST._replace(num_steps=3, batch_sizes=(2, 8))
CONTROLS = {"arm": list(ARMS[2:])}


class Difference(NamedTuple):
    """Difference between the two modes."""

    logits: float  # root mean square of the change, as a share of that of the logits
    classes: float  # share of images whose predicted class changes


def trained(arm: str, seed: int, num_steps: int) -> nn.Sequential:
    """Train a network on Digits."""
    norm = nn.LayerNorm if arm == "layer norm" else nn.BatchNorm1d
    torch.manual_seed(seed)
    net = dense_net((64, 64, 64), lambda width: [norm(width), nn.ReLU()])
    train(net, images("digits").train, torch.optim.AdamW(net.parameters(), lr=3e-3), num_steps, 64, seed)
    return net


@torch.no_grad()
def adopt_statistics(net: nn.Module, x: Tensor, biased: bool) -> None:
    """Set all running statistics to those of a batch x: with divisor n if `biased`, or else as torch stores them."""

    def adopt(layer: nn.BatchNorm1d, args: tuple[Tensor, ...]) -> None:
        layer.running_mean.copy_(args[0].mean(0))
        layer.running_var.copy_(args[0].var(0, correction=0 if biased else 1))

    before = [(layer, layer.momentum) for layer in net.modules() if isinstance(layer, nn.BatchNorm1d)]
    hooks = [layer.register_forward_pre_hook(adopt) for layer, _ in before]
    for layer, _ in before:
        layer.momentum = 0.0  # so that training mode leaves what was set
    net.train()(x)
    for (layer, momentum), hook in zip(before, hooks, strict=True):
        layer.momentum = momentum
        hook.remove()


@torch.no_grad()
def difference_of_modes(net: nn.Module, x: Tensor, arm: str) -> Difference:
    """Compare the logits of a batch x (B, C, H, W) in both modes."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    in_training = net.train()(x)
    net.load_state_dict(before)  # because training mode has changed the running statistics
    if arm in CONTROLS["arm"]:
        adopt_statistics(net, x, biased=arm == "batch norm, statistics of the batch")
    in_evaluation = net.eval()(x)
    net.load_state_dict(before)
    change = (in_training - in_evaluation).square().mean().sqrt() / in_evaluation.square().mean().sqrt()
    classes = (in_training.argmax(1) != in_evaluation.argmax(1)).float().mean()
    return Difference(change.item(), classes.item())


def refuses_one(net: nn.Module, x: Tensor) -> bool:
    """Return whether training mode refuses a batch of one image."""
    try:
        net.train()(x[:1])
    except ValueError:
        return True
    return False


def measure(full: bool) -> Claim:
    """Measure the difference between the modes by batch size. Each seed has its own network and its own batches."""
    sizes = FULL if full else FAST
    seeds, test = range(sizes.num_seeds), images("digits").test
    found: dict[tuple[str, int], list[Difference]] = {(arm, size): [] for arm in ARMS for size in sizes.batch_sizes}
    refused = True
    for seed in seeds:
        nets = {norm: trained(norm, seed, sizes.num_steps) for norm in ("batch norm", "layer norm")}
        order = torch.randperm(len(test.y), generator=torch.Generator().manual_seed(seed))
        refused &= refuses_one(nets["batch norm"], test.x) and not refuses_one(nets["layer norm"], test.x)
        for arm, size in found:
            batches = test.x[order[: len(order) // size * size]].split(size)[:10]
            each = [difference_of_modes(nets["layer norm" if arm == "layer norm" else "batch norm"], x, arm) for x in batches]
            found[arm, size].append(Difference(*(mean_and_error(column)[0] for column in zip(*each, strict=True))))
    rows = [_row(arm, size, values) for (arm, size), values in found.items()]
    logits = {arm: [row["logits"] for row in rows if row["arm"] == arm] for arm in ARMS}
    batch, layer, equal, _ = logits.values()
    verdict = judge(min(batch) > DIFFERS and max(layer) == 0 and max(equal) < SAME, in_part=min(batch) > DIFFERS)
    small, large = sizes.batch_sizes[0], sizes.batch_sizes[-1]
    measured = f"change of the logits between the modes with batches of {small} and {large}: "
    measured += ", ".join(f"{arm} {values[0]:.2g} and {values[-1]:.2g}" for arm, values in logits.items())
    measured += f"; a batch of one is refused by batch norm only: {'yes' if refused else 'no'}"
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(sizes.batch_sizes, logits))


def _row(arm: str, size: int, values: list[Difference]) -> Row:
    (logits, error), (classes, _) = (mean_and_error(column) for column in zip(*values, strict=True))
    return {"arm": arm, "batch": size, "logits": logits, "error": error, "classes": classes}


def _draw(batch_sizes: tuple[int, ...], logits: dict[str, list[float]]) -> Figure:
    """Draw the change of the logits by batch size."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for arm, values in logits.items():
        axes.plot(batch_sizes, values, "o-", label=arm)
    axes.set_xscale("log", base=2)
    axes.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    axes.set_yscale("symlog", linthresh=1e-8)
    axes.set_ylim(-2e-9, 30)
    axes.set_xlabel("batch size")
    axes.set_ylabel("change of the logits between the modes")
    axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
