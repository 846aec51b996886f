"""Do small gradients vanish in fp16, does loss scaling save them, and does bf16 need none? (Micikevicius et al., 2018).

python recipes/claims/training/loss_scaling.py [--full]        seconds on one CPU core; --full a minute

An MLP is trained on Digits by Adam in four ways: in fp32, which is the control; in fp16; in fp16 with torch.amp.GradScaler,
which replaces the reference's torch.cuda.amp; and in bf16. Forward pass and loss run under autocast, not the backward pass,
and weights stay in fp32. The loss is multiplied by a small weight, as the weight of an auxiliary loss or the mean over many
pixels does. Adam divides by the size of the gradients, so that the weight changes nothing as long as gradients are
represented: fp16 has no positive number below 6e-8, fp32 and bf16 none below about 1e-38 in normal form. A weight of 1 is a
second control, which takes away the cause.

Measured are, at the initial weights, the share of gradients that are 0 in this precision but not in fp32, and the test
accuracy and the loss without its weight after training.

Criterion: the claim holds if, at the smallest weight, fp16 without scaling loses more than half of the gradients and more than
10 points of accuracy to fp32, while fp16 with scaling and bf16 each lose less than 1 % of the gradients and stay within 1
point. It holds in part if all of this but the part about bf16 is true.
"""

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import Images, Splits, accuracy, batches, dense_net, images, logits_of, mean_and_error
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Small gradients underflow in fp16, loss scaling saves them, and bf16 needs none."
ARMS: dict[str, torch.dtype | None] = {
    "fp32": None,
    "fp16": torch.float16,
    "fp16, scaled": torch.float16,
    "bf16": torch.bfloat16,
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_steps: int
    weights: tuple[float, ...]  # of the loss


FAST = Sizes(num_seeds=2, num_steps=50, weights=(1.0, 1e-6))
FULL = Sizes(num_seeds=3, num_steps=300, weights=(1.0, 1e-2, 1e-4, 1e-6))
SMALLEST = FAST._replace(num_steps=3)
CONTROLS = {"arm": ["fp32"], "loss weight": [1.0]}


class Outcome(NamedTuple):
    """What a precision makes of the gradients and of the training."""

    lost: float  # share of the gradients that are not 0 in fp32
    loss: float
    test: float


def backward(net: nn.Module, x: Tensor, y: Tensor, arm: str, weight: float, scaler: torch.amp.GradScaler) -> None:
    """Compute gradients, scaled by the scaler if the arm has one."""
    dtype = ARMS[arm]
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        loss = weight * F.cross_entropy(net(x), y)
    net.zero_grad()
    scaler.scale(loss).backward()


def gradients(net: nn.Module, data: Images, arm: str, weight: float) -> Tensor:
    """Return the gradients of all weights (P,) for one batch, unscaled."""
    scaler = torch.amp.GradScaler("cpu", enabled="scaled" in arm)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    backward(net, data.x[:64], data.y[:64], arm, weight, scaler)
    scaler.unscale_(optimizer)
    return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])


def outcome(arm: str, weight: float, seed: int, data: Splits, num_steps: int) -> Outcome:
    """Train a network. Networks of one seed have equal initial weights and batches."""
    torch.manual_seed(seed)
    net = dense_net((64, 64, 64))
    there = gradients(net, data.train, "fp32", weight) != 0
    lost = (gradients(net, data.train, arm, weight)[there] == 0).float().mean().item()
    scaler = torch.amp.GradScaler("cpu", enabled="scaled" in arm)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, eps=1e-20)  # the usual 1e-8 is not small beside such gradients
    for rows in batches(len(data.train.y), 64, num_steps, seed):
        backward(net, data.train.x[rows], data.train.y[rows], arm, weight, scaler)
        scaler.step(optimizer)
        scaler.update()
    loss = F.cross_entropy(logits_of(net, data.train.x), data.train.y).item()
    return Outcome(lost, loss, accuracy(net, data.test))


def measure(full: bool) -> Claim:
    """Measure all precisions at all weights of the loss."""
    sizes = FULL if full else FAST
    data, seeds = images("digits"), range(sizes.num_seeds)
    found = {
        (arm, weight): [outcome(arm, weight, seed, data, sizes.num_steps) for seed in seeds]
        for weight in sizes.weights
        for arm in ARMS
    }
    rows = [_row(arm, weight, values) for (arm, weight), values in found.items()]
    small = {row["arm"]: row for row in rows if row["loss weight"] == sizes.weights[-1]}
    behind = {arm: small["fp32"]["test"] - row["test"] for arm, row in small.items()}
    underflows = small["fp16"]["gradients lost"] > 0.5 and behind["fp16"] > 0.1
    saved = {arm: small[arm]["gradients lost"] < 0.01 and behind[arm] < 0.01 for arm in ("fp16, scaled", "bf16")}
    verdict = judge(underflows and all(saved.values()), in_part=underflows and saved["fp16, scaled"])
    measured = f"with a loss weight of {sizes.weights[-1]:g}, gradients lost and test accuracy: "
    measured += ", ".join(f"{arm} {row['gradients lost']:.0%}, {row['test']:.3f}" for arm, row in small.items())
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(sizes.weights, rows))


def _row(arm: str, weight: float, values: list[Outcome]) -> Row:
    lost, loss, test = (mean_and_error(column) for column in zip(*values, strict=True))
    return {"arm": arm, "loss weight": weight, "gradients lost": lost[0], "loss": loss[0], "test": test[0], "error": test[1]}


def _draw(weights: tuple[float, ...], rows: list[Row]) -> Figure:
    """Draw the share of lost gradients and the test accuracy by the weight of the loss."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, column in zip(figure.subplots(1, 2), ("gradients lost", "test"), strict=True):
        for arm, marker in zip(ARMS, "osx+", strict=True):
            axes.plot(weights, [row[column] for row in rows if row["arm"] == arm], f"{marker}-", label=arm)
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.set_xlabel("weight of the loss")
        axes.set_ylabel("share of gradients lost" if column == "gradients lost" else "test accuracy after training")
        axes.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
