"""Does a linear autoencoder find the same subspace as PCA? (Baldi & Hornik, 1989; Bourlard & Kamp, 1988).

python recipes/claims/autoencoders/pca.py [--full]        half a minute on one CPU core; --full some minutes

Autoencoders of Fashion-MNIST (or Digits, if it is not available) are trained with Adam on the squared error. The mean image is
subtracted first, as in PCA. The theorem also holds without this, but then the mean dominates all other directions and Adam
needs much longer. Two things are compared with as many principal components of the training images: the test error, and the
principal angles between the subspace spanned by the decoder and theirs.

Controls: the same network before training; and a network with a hidden ReLU layer on each side, which differs in these layers
alone: same images in the same order, same number of updates, and the better of the same learning rates, by the training error.
It spans no subspace, so only its error is reported.

Criterion, stated before the full measurement. A linear network has trained if its training error is within 1 % of PCA's, the
lowest that any linear network can reach. A ReLU network, which could represent more, has trained if its training error is below
PCA's. If a network of either kind has not trained at some width, the verdict is "cannot tell". Otherwise the claim holds if
every linear network, of every width and seed, has a test error within 1 % of PCA's and angles below 5 degrees.

The table also reports the `gap` after the last component: how much more variance it has than the next one, which is left out.
The smaller the gap, the less a network loses by taking the wrong one of the two.
"""

import math
import sys
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import Digits, FashionMNIST
from datamodules.core.base import DataModule
from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.cli.claims import Claim, Row, judge, main
from zoo.metrics.probe import principal_components

CLAIM = "A linear autoencoder trained on squared error finds the subspace that PCA finds."
WITHIN = 0.01  # largest relative difference from PCA's error
ANGLE = 5.0  # largest principal angle allowed, in degrees
LRS = (0.002, 0.02)  # tried for every network


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    widths: tuple[int, ...]  # of the code
    num_updates: int
    batch_size: int
    hidden_dim: int  # of the ReLU control
    num_images: int  # training images


FAST = Sizes(num_seeds=2, widths=(2, 8), num_updates=1000, batch_size=250, hidden_dim=128, num_images=5000)
FULL = Sizes(num_seeds=2, widths=(2, 8, 64), num_updates=2500, batch_size=250, hidden_dim=128, num_images=54_000)
SMALLEST = FAST._replace(num_seeds=2, widths=(2,), num_updates=20, num_images=500)
CONTROLS = {"network": ["ReLU", "linear, untrained"]}


class Found(NamedTuple):
    """A network after training."""

    train_error: float  # squared error per pixel
    test_error: float
    angle: float | None  # largest principal angle to PCA's subspace in degrees; None for a ReLU network


def images(num: int) -> tuple[Tensor, Tensor, str]:
    """Return at most `num` training images and the test images (N, C, H, W), minus the mean, and the data set's name."""
    data: DataModule = FashionMNIST(normalize=False)
    try:
        data.setup()
    except FileNotFoundError:
        data = Digits(normalize=False)
        data.setup()
    (x, *_), rows = data.splits["train"]
    (x_test, *_), test_rows = data.splits["test"]
    train, test = x[rows[:num]].float() / 255, x_test[test_rows].float() / 255
    mean = train.mean(0)
    return train - mean, test - mean, type(data).__name__


def build(network: str, shape: torch.Size, width: int, sizes: Sizes) -> AutoencoderNet:
    """Build a network: "linear", or "ReLU" with a hidden layer on each side."""
    hidden = [sizes.hidden_dim] if network == "ReLU" else []
    return AutoencoderNet(shape, widths=hidden, latent_dim=width, squash=False)


def train(net: AutoencoderNet, x: Tensor, lr: float, sizes: Sizes) -> None:
    """Train with Adam and a cosine schedule to 0, so that the final error holds no noise of the last steps."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes.num_updates)
    for _ in range(sizes.num_updates):
        batch = x[torch.randint(len(x), (sizes.batch_size,))]
        loss = F.mse_loss(net(batch), batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()
        schedule.step()


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Compute the principal angles in degrees between the row spaces of (k, F) and (k, F), in ascending order: (k,)."""
    (q_a, _), (q_b, _) = (torch.linalg.qr(rows.double().T) for rows in (a, b))
    return torch.rad2deg(torch.acos(torch.linalg.svdvals(q_a.T @ q_b).clamp(max=1)))


@torch.no_grad()
def errors_of(net: AutoencoderNet, x: Tensor, x_test: Tensor, directions: Tensor | None) -> Found:
    """Compute a network's errors, and the angle of its decoder to principal directions (k, F) if there are any."""
    train_error, test_error = (F.mse_loss(net(images), images).item() for images in (x, x_test))
    if directions is None:
        return Found(train_error, test_error, None)
    weight: Any = net.decoder[0].weight  # the only layer of a linear decoder
    return Found(train_error, test_error, angles(weight.T, directions)[-1].item())


def measure(full: bool) -> Claim:
    """Measure errors and angles for each code width, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    x, x_test, name = images(sizes.num_images)
    rows: list[Row] = []
    trained, holds = True, True
    for width in sizes.widths:
        _, directions = principal_components(x.flatten(1), width + 1)
        last, following = (x.flatten(1) @ directions[width - 1 :].T).square().mean(0).tolist()
        gap, directions = last / following - 1, directions[:width]
        best_train, best_test = (
            (given.flatten(1) - given.flatten(1) @ directions.T @ directions).square().mean().item() for given in (x, x_test)
        )
        rows.append(_row(width, "PCA", [Found(best_train, best_test, None)], None, best_test, gap))
        for network in ("linear", "linear, untrained", "ReLU"):
            of_lr: dict[float | None, list[Found]] = {lr: [] for lr in ((None,) if "untrained" in network else LRS)}
            for lr, of_seeds in of_lr.items():
                for seed in range(sizes.num_seeds):
                    torch.manual_seed(seed)
                    net = build(network, x.shape[1:], width, sizes)
                    if lr is not None:
                        train(net, x, lr, sizes)
                    of_seeds.append(errors_of(net, x, x_test, None if network == "ReLU" else directions))
            lr, found = min(of_lr.items(), key=lambda item: sum(each.train_error for each in item[1]))
            rows.append(_row(width, network, found, lr, best_test, gap))
            if network == "linear":
                trained &= all(each.train_error <= (1 + WITHIN) * best_train for each in found)
                holds &= all(each.test_error <= (1 + WITHIN) * best_test for each in found) and rows[-1]["angle"] < ANGLE
            if network == "ReLU":
                trained &= all(each.train_error < best_train for each in found)
    linear = [row for row in rows if row["network"] == "linear"]
    shown = "; ".join(f"{row['code']}: {row['ratio']:.4f} and {row['angle']:.1f} degrees" for row in linear)
    measured = f"error relative to PCA's, and largest angle, by numbers in the code ({name}): {shown}"
    return Claim(CLAIM, measured, judge(holds, trained=trained), list(range(sizes.num_seeds)), rows, _draw(rows))


def _row(width: int, network: str, found: list[Found], lr: float | None, best_test: float, gap: float) -> Row:
    train_error, test_error = (sum(values) / len(found) for values in list(zip(*found, strict=True))[:2])
    angles = [each.angle for each in found if each.angle is not None]
    return {
        "code": width,
        "gap": gap,
        "network": network,
        "lr": lr,
        "train mse": train_error,
        "test mse": test_error,
        "ratio": test_error / best_test,
        "angle": max(angles) if angles else None,
    }


def _draw(rows: list[Row]) -> Figure:
    """Draw the test error and the largest angle by the width of the code."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    error, angle = figure.subplots(1, 2)
    for network in dict.fromkeys(row["network"] for row in rows):
        of_network = [row for row in rows if row["network"] == network]
        widths = [row["code"] for row in of_network]
        if network != "linear, untrained":
            error.plot(widths, [row["test mse"] for row in of_network], "o-", label=network)
        if of_network[0]["angle"] is not None:
            angle.plot(widths, [row["angle"] for row in of_network], "o-", label=network)
    angle.axhline(ANGLE, color="lightgrey", linewidth=0.8)
    for axes, label in ((error, "test error per pixel"), (angle, "largest angle to PCA's subspace, degrees")):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("numbers in the code")
        axes.set_ylabel(label)
        axes.legend(fontsize=8)
    error.set_ylim(0, math.ceil(1000 * max(row["test mse"] for row in rows if row["network"] != "linear, untrained")) / 1000)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
