"""Which loss resists outliers among the targets? (Huber, 1964).

python recipes/claims/mlp/robust_losses.py [--full]        seconds on one CPU core; --full five minutes

MLPs regress sin(3 x) for x in [-1, 1] from targets with normal noise of deviation 0.1. The arms are the losses: squared error
(MSE), absolute error (MAE), and Huber's with delta = 0.1 and 1. They start from equal weights and see the same batches, at the
better of the same learning rates of Adam with a cosine schedule (by the arm's own loss on validation targets, which have the
same outliers). A tenth of the training and validation targets are replaced in one of two ways:

- one-sided: 5 is added
- two-sided: 5 is added or subtracted, by chance

The error is the root mean square of the difference to sin(3 x) itself at 1,000 points. The bias is the mean difference.

Control: no outliers.

What theory says: the best constant under MSE is the mean, which one-sided outliers shift by 0.1 * 5 = 0.5. Under Huber's loss
they pull with the constant force delta, which shifts the fit by 0.1 delta / 0.9 where the noise is small against delta. Under
MAE the median hardly moves. The reference calls Huber's loss MSE for small errors and MAE for large ones. Precisely, it is
half of the squared error up to delta, and delta (|error| - delta / 2) beyond.

Criterion, stated before the full measurement. A loss resists outliers if its mean error is at most half of MSE's. The claim
holds if MAE and Huber's loss with delta = 1, torch's default, resist both kinds of outliers, and in part if one of them resists
one kind. If MSE's error without outliers is above 0.1, the verdict is "cannot tell".
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet

CLAIM = "Absolute error and Huber's loss resist outliers that mislead the squared error."
RESISTS = 0.5  # error relative to MSE's
TRAINED = 0.1  # error of MSE without outliers
NOISE = 0.1
SHARE = 0.1  # of outliers
FAR = 5.0  # how far they are
KINDS = ("none", "one-sided", "two-sided")
Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "MSE": F.mse_loss,
    "MAE": F.l1_loss,
    "Huber, delta 1": lambda y, target: F.huber_loss(y, target, delta=1.0),
    "Huber, delta 0.1": lambda y, target: F.huber_loss(y, target, delta=0.1),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_points: int  # for training, and as many for validation
    hidden_dim: int
    num_updates: int
    lrs: tuple[float, ...]


class Found(NamedTuple):
    """A trained network."""

    validation: float  # its own loss on the validation targets
    predictions: Tensor  # at `GRID`


FAST = Sizes(num_seeds=1, num_points=400, hidden_dim=32, num_updates=300, lrs=(0.01,))
FULL = FAST._replace(num_seeds=3, num_updates=1000, lrs=(0.003, 0.03))
SMALLEST = FAST._replace(num_seeds=2, num_points=40, hidden_dim=4, num_updates=3)
CONTROLS = {"outliers": ["none"]}
GRID = torch.linspace(-1, 1, 1000)[:, None]


def truth(x: Tensor) -> Tensor:
    """Compute the function to learn, element by element."""
    return torch.sin(3 * x)


def draw(kind: str, num: int) -> tuple[Tensor, Tensor]:
    """Draw inputs and targets (num, 1). Of all kinds, equal seeds draw equal inputs, noise and places of outliers."""
    x = 2 * torch.rand(num, 1) - 1
    noise, chosen, sign = NOISE * torch.randn(num, 1), torch.rand(num, 1) < SHARE, torch.randint(2, (num, 1)) * 2 - 1
    shift = {"none": torch.zeros(num, 1), "one-sided": torch.ones(num, 1), "two-sided": sign.float()}[kind]
    return x, truth(x) + noise + FAR * shift * chosen


def train(kind: str, loss: Loss, lr: float, seed: int, sizes: Sizes) -> Found:
    """Train a network on targets with outliers of a kind."""
    torch.manual_seed(seed)
    (x, y), (x_val, y_val) = draw(kind, sizes.num_points), draw(kind, sizes.num_points)
    net = MLPNet((1,), 1, [sizes.hidden_dim] * 2, "tanh")
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes.num_updates)
    for _ in range(sizes.num_updates):
        rows = torch.randint(len(x), (100,))
        value = loss(net(x[rows]), y[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return Found(loss(net(x_val), y_val).item(), net(GRID))


def measure(full: bool) -> Claim:
    """Train all arms, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    fits: dict[tuple[str, str], Tensor] = {}
    rows: dict[tuple[str, str], Row] = {}
    for kind in KINDS:
        for name, loss in LOSSES.items():
            found = {lr: [train(kind, loss, lr, seed, sizes) for seed in range(sizes.num_seeds)] for lr in sizes.lrs}
            lr = min(found, key=lambda lr: sum(each.validation for each in found[lr]))
            fits[kind, name] = torch.stack([each.predictions for each in found[lr]])
            rows[kind, name] = _row(kind, name, lr, fits[kind, name])
    resists = [
        rows[kind, name]["error"] <= RESISTS * rows[kind, "MSE"]["error"]
        for kind in KINDS[1:]
        for name in ("MAE", "Huber, delta 1")
    ]
    measured = "error: " + "; ".join(
        f"outliers {kind}: " + ", ".join(f"{name} {rows[kind, name]['error']:.3f}" for name in LOSSES) for kind in KINDS
    )
    verdict = judge(all(resists), in_part=any(resists), trained=rows["none", "MSE"]["error"] <= TRAINED)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(fits))


def _row(kind: str, name: str, lr: float, predictions: Tensor) -> Row:
    """Average over seeds, from predictions (seeds, N, 1)."""
    difference = predictions - truth(GRID)
    errors = difference.square().mean((1, 2)).sqrt()
    return {
        "outliers": kind,
        "loss": name,
        "lr": lr,
        "error": errors.mean().item(),
        "sd": errors.std().item() if len(errors) > 1 else 0.0,
        "bias": difference.mean().item(),
    }


def _draw(fits: dict[tuple[str, str], Tensor]) -> Figure:
    """Draw the data and the fits of the first seed, one panel per kind of outliers."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    for kind, axes in zip(KINDS, figure.subplots(1, 3, sharey=True), strict=True):
        torch.manual_seed(0)
        axes.scatter(*draw(kind, 400), s=3, color="grey", alpha=0.5)
        axes.plot(GRID, truth(GRID), color="black", linewidth=3, alpha=0.4, label="sin(3 x)")
        for name in LOSSES:
            axes.plot(GRID, fits[kind, name][0], linewidth=1.5, label=name)
        axes.set_title(f"outliers: {kind}")
        axes.set_xlabel("x")
    figure.axes[0].set_ylabel("target")
    figure.axes[0].legend(fontsize=9, loc="upper left")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
