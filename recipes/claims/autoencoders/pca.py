"""Does a linear autoencoder find the same subspace as PCA? (Baldi & Hornik, 1989; Bourlard & Kamp, 1988).

python recipes/claims/autoencoders/pca.py [--full]        half a minute on one CPU core; --full some minutes

Autoencoders of Fashion-MNIST (or Digits, if it is not available) are trained with Adam on the squared error. The mean image is
subtracted first, as in PCA. The theorem also holds without this, but then the mean dominates all other directions and Adam
needs much longer. Two things are compared with as many principal components of the training images: the test error, and the
principal angles between the subspace spanned by the decoder and theirs. Controls: the same network before training; and a
network with a hidden ReLU layer on each side. The latter spans no subspace, so only its error is reported.
"""

import math
import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import Digits, FashionMNIST
from datamodules.core.base import DataModule
from zoo.autoencoders.autoencoder import AutoencoderNet
from zoo.cli.claims import Claim, Row, main
from zoo.metrics.probe import principal_components

CLAIM = "A linear autoencoder trained on squared error finds the subspace that PCA finds."
WITHIN = 0.01  # largest relative difference from PCA's test error
ANGLE = 5.0  # largest principal angle allowed, in degrees
LR = {"linear": 0.02, "ReLU": 0.002}
COMPARED = 8  # widest code judged by ANGLE: in wider ones, neighbouring components are too similar to be separated


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    widths: tuple[int, ...]  # of the code
    num_updates: int
    batch_size: int
    hidden_dim: int  # of the ReLU control
    num_images: int  # training images


FAST = Sizes(num_seeds=2, widths=(2, 8), num_updates=1500, batch_size=500, hidden_dim=128, num_images=5000)
FULL = Sizes(num_seeds=2, widths=(2, 8, 64), num_updates=2500, batch_size=500, hidden_dim=64, num_images=54_000)


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


def measure(full: bool) -> Claim:
    """Measure error and angles for each code width. The claim holds if all linear networks stay within the bounds."""
    sizes = FULL if full else FAST
    x, x_test, name = images(sizes.num_images)
    rows: list[Row] = []
    holds = True
    for width in sizes.widths:
        mean, directions = principal_components(x.flatten(1), width)
        centred = x_test.flatten(1) - mean
        best = (centred - centred @ directions.T @ directions).square().mean().item()
        rows.append(_row(width, "PCA", [best], best, None))
        for network in ("linear", "linear, untrained", "ReLU"):
            errors, of_seeds = [], []
            for seed in range(sizes.num_seeds):
                torch.manual_seed(seed)
                hidden = [sizes.hidden_dim] if network == "ReLU" else []
                net = AutoencoderNet(x.shape[1:], widths=hidden, latent_dim=width, squash=False)
                if network != "linear, untrained":
                    train(net, x, LR[network], sizes)
                with torch.no_grad():
                    errors.append(F.mse_loss(net(x_test), x_test).item())
                if network != "ReLU":
                    of_seeds.append(angles(net.decoder[0].weight.detach().T, directions)[-1].item())  # type: ignore[union-attr, operator]
            rows.append(_row(width, network, errors, best, max(of_seeds) if of_seeds else None))
            if network == "linear":
                holds &= rows[-1]["ratio"] <= 1 + WITHIN and (width > COMPARED or rows[-1]["angle"] < ANGLE)
    linear = [row for row in rows if row["network"] == "linear"]
    found = "; ".join(f"{row['code']}: {row['ratio']:.4f} and {row['angle']:.1f} degrees" for row in linear)
    measured = f"error relative to PCA's, and largest angle, by numbers in the code ({name}): {found}"
    return Claim(CLAIM, measured, holds, list(range(sizes.num_seeds)), rows, _draw(rows))


def _row(width: int, network: str, errors: list[float], best: float, angle: float | None) -> Row:
    mean = sum(errors) / len(errors)
    return {"code": width, "network": network, "test mse": mean, "ratio": mean / best, "angle": angle}


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
