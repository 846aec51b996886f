"""Data, networks and training for the arms of claims, in plain torch.

Arms of a claim share batches, order and seeds, so that they differ only in what the claim is about.

Shapes: B batch, C channels, H height, W width, N samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer

from datamodules import Digits, FashionMNIST
from datamodules.core.splits import stratified_sample
from zoo.nn.modes import evaluating

Source = Literal["digits", "fashion_mnist"]
Change = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]  # images, classes, rows, step


class Images(NamedTuple):
    """Images in memory, with mean 0 and standard deviation 1 over the data set."""

    x: Tensor  # (N, C, H, W)
    y: Tensor  # (N,)


class Splits(NamedTuple):
    """Images for training, for choices, and for the score."""

    train: Images
    val: Images
    test: Images


def images(source: Source, num_train: int | None = None) -> Splits:
    """Load Digits (8x8 pixels) or Fashion-MNIST at half its resolution (14x14 pixels), which is four times as fast.

    `num_train` keeps this number of training images, with the same share of each class.
    """
    data = Digits() if source == "digits" else FashionMNIST()
    data.setup()

    def part(name: str) -> Images:
        arrays, rows = data.splits[name]
        if name == "train" and num_train is not None:
            rows = rows[stratified_sample(arrays.y[rows], num_train, 0, "num_train")]
        x = (arrays.x[rows] / 255 - data.mean[0]) / data.std[0]
        return Images(F.avg_pool2d(x, 2) if source == "fashion_mnist" else x, arrays.y[rows])

    return Splits(part("train"), part("val"), part("test"))


def conv_net(widths: Sequence[int], norm: Callable[[int], nn.Module], side: int | None = None) -> nn.Sequential:
    """Build a small CNN for grey images of 10 classes: 3x3 convolutions with a norm and ReLU, and 2x2 max pools between.

    Args:
        widths: channels of the convolutions.
        norm: makes the norm from the number of channels.
        side: pixels per side of the images, for a head that sees where a feature is: a last pool and 64 hidden units. None
            averages features over the image, which makes the network smaller and nearly invariant to shifts.
    """
    layers: list[nn.Module] = []
    fan_in = 1
    for width in widths:
        layers += [nn.MaxPool2d(2)] if layers else []
        layers += [nn.Conv2d(fan_in, width, 3, padding=1), norm(width), nn.ReLU()]
        fan_in = width
    if side is None:
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, 10))
    num_features = fan_in * (side // 2 ** len(widths)) ** 2
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(num_features, 64), nn.ReLU(), nn.Linear(64, 10))


def dense_net(widths: Sequence[int], between: Callable[[int], Sequence[nn.Module]] | None = None) -> nn.Sequential:
    """Build an MLP with 10 classes.

    Args:
        widths: number of inputs, then of units in each hidden layer.
        between: makes the layers after each hidden linear one from its width. By default a ReLU.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, width in pairwise(widths):
        layers += [nn.Linear(fan_in, width), *(between(width) if between else [nn.ReLU()])]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def batches(num_samples: int, batch_size: int, num_steps: int, seed: int) -> Iterator[Tensor]:
    """Yield the rows of full batches (B,). Every sample comes once before any comes again."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.long)
    for _ in range(num_steps):
        while len(left) < batch_size:
            left = torch.cat([left, torch.randperm(num_samples, generator=generator)])
        yield left[:batch_size]
        left = left[batch_size:]


def cosine(share: float) -> float:
    """Return the factor of the learning rate after this share of the steps, falling from 1 to 0."""
    return (1 + torch.cos(torch.tensor(torch.pi * share)).item()) / 2


def train(
    net: nn.Module,
    data: Images,
    optimizer: Optimizer,
    num_steps: int,
    batch_size: int,
    seed: int,
    rate: Callable[[float], float] = cosine,
    change: Change | None = None,
) -> Tensor:
    """Train with cross-entropy and return the losses (num_steps,).

    Args:
        net: maps images to logits.
        data: training images.
        optimizer: of the network's parameters, with the highest learning rate.
        num_steps: optimizer steps.
        batch_size: B.
        seed: of the order of images.
        rate: factor of the learning rate by the share of steps already taken.
        change: of the images and classes of a batch, given their rows and the step. Classes may become probabilities (B, K).
    """
    highest = [group["lr"] for group in optimizer.param_groups]
    losses = []
    net.train()
    for step, rows in enumerate(batches(len(data.y), batch_size, num_steps, seed)):
        for group, lr in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = lr * rate(step / num_steps)
        x, y = data.x[rows], data.y[rows]
        if change is not None:
            x, y = change(x, y, rows, step)
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


@torch.no_grad()
def logits_of(net: nn.Module, x: Tensor) -> Tensor:
    """Return the logits (N, K) in evaluation mode."""
    with evaluating(net):
        return torch.cat([net(part) for part in torch.split(x, 2000)])


def accuracy(net: nn.Module, data: Images) -> float:
    """Return the share of images whose class has the highest logit."""
    return (logits_of(net, data.x).argmax(1) == data.y).float().mean().item()


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and its standard error, which is 0 for one seed."""
    column = torch.tensor(values, dtype=torch.float64)
    error = column.std().item() / len(column) ** 0.5 if len(column) > 1 else 0.0
    return column.mean().item(), error


def difference(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the differences of two arms, seed by seed, and its standard error."""
    return mean_and_error([a - b for a, b in zip(values, others, strict=True)])


def gain_figure(nums_train: Sequence[int], gains: Mapping[str, Sequence[tuple[float, float]]], control: str, of: str) -> Figure:
    """Draw the gain of each arm over a control by the number of training samples, with two standard errors.

    Args:
        nums_train: numbers of training samples.
        gains: for each arm, the mean and the standard error of its gain in points at each of these numbers.
        control: name of the control, whose gain is 0.
        of: what samples are called.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="grey", label=f"{control}, control")
    for arm, points in gains.items():
        means, errors = zip(*points, strict=True)
        axes.errorbar(nums_train, means, [2 * error for error in errors], marker="o", capsize=3, label=arm)
    axes.set_xscale("log")
    axes.set_xlabel(f"training {of}")
    axes.set_ylabel("gain in test accuracy, points")
    axes.legend()
    return figure
