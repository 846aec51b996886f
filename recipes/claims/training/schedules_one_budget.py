"""Which learning-rate schedule makes most of a budget of steps?

python recipes/claims/training/schedules_one_budget.py [--full]        seconds on one CPU core; --full about five minutes

One network is trained by SGD with momentum for the same number of steps under six schedules: constant; steps down by 10 after
each third; a cosine to 0 (Loshchilov & Hutter, 2017, arXiv:1608.03983); the same cosine after a linear warm-up over the first
tenth; one cycle, which rises from 1/25 for the first three tenths and then falls along a cosine (Smith & Topin, 2018,
arXiv:1708.07120); and plateau, which divides the rate by 10 when the validation loss has not improved for three checks out of
forty. Networks of one seed share initial weights and batches. Each schedule is scored on the test part at its own best highest
rate, chosen by the mean validation accuracy over seeds, so that no schedule wins by a rate that happens to suit it.

The control is the constant rate. All schedules move after every update of the weights. The reference's code attaches several
schedules to one optimizer, where each overwrites the rate of the others, and moves all but one of them after an epoch, which
does not fit its warm-up of 500 steps.

Criterion: the claim holds if every other schedule beats the constant rate by more than two standard errors of the difference,
seed by seed. It holds in part if the cosine does. It cannot be told if the constant rate stays below 60 % accuracy.

Full measurements use 5,000 images of Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import (
    Images,
    Source,
    Splits,
    accuracy,
    cosine,
    dense_net,
    difference,
    images,
    logits_of,
    mean_and_error,
    train,
)
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "A schedule that lowers the learning rate beats a constant one on the same budget of steps."
TRAINED = 0.6  # accuracy
NUM_CHECKS = 40  # validations for the plateau schedule
PATIENCE = 3


def step_decay(share: float) -> float:
    """Divide by 10 after each third."""
    return 0.1 ** int(3 * share)


def warm_up(share: float) -> float:
    """Rise linearly for a tenth, then fall along a cosine."""
    return share / 0.1 if share < 0.1 else cosine((share - 0.1) / 0.9)


def one_cycle(share: float) -> float:
    """Rise from 1/25 along a cosine for three tenths, then fall to nearly 0, as torch's OneCycleLR does by default."""
    return 1 - 0.96 * cosine(share / 0.3) if share < 0.3 else cosine((share - 0.3) / 0.7)


class Plateau:
    """Divide by 10 when the validation loss has not improved for `PATIENCE` checks. One object serves one run."""

    def __init__(self, net: nn.Module, val: Images) -> None:
        self.net, self.val = net, val
        self.factor, self.best, self.num_bad, self.num_checks = 1.0, float("inf"), 0, 0

    def __call__(self, share: float) -> float:
        """Return the factor after this share of the steps. Validates when a fortieth of the steps has passed."""
        if share * NUM_CHECKS >= self.num_checks + 1:
            self.num_checks += 1
            loss = F.cross_entropy(logits_of(self.net, self.val.x), self.val.y).item()
            self.num_bad = 0 if loss < self.best else self.num_bad + 1
            self.best = min(self.best, loss)
            if self.num_bad > PATIENCE:
                self.factor, self.num_bad = self.factor / 10, 0
        return self.factor


SCHEDULES: dict[str, Callable[[float], float] | None] = {  # None is plateau, which needs the network
    "constant": lambda share: 1.0,
    "step": step_decay,
    "cosine": cosine,
    "warm-up + cosine": warm_up,
    "one cycle": one_cycle,
    "plateau": None,
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_train: int
    num_steps: int
    rates: tuple[float, ...]
    width: int


FAST = Sizes(num_seeds=2, source="digits", num_train=1000, num_steps=120, rates=(0.03, 0.1), width=32)
FULL = Sizes(4, source="fashion_mnist", num_train=5000, num_steps=800, rates=(0.01, 0.03, 0.1, 0.3), width=64)
SMALLEST = FAST._replace(num_steps=8, rates=(0.1,), width=8)
CONTROLS = {"schedule": ["constant"]}


class Outcome(NamedTuple):
    """Accuracies of a trained network, and its learning rates by step."""

    val: float
    test: float
    rates: Tensor


def outcome(schedule: str, lr: float, seed: int, data: Splits, sizes: Sizes) -> Outcome:
    """Train a network. Networks of one seed have equal initial weights and batches."""
    torch.manual_seed(seed)
    net = dense_net((data.train.x[0].numel(), sizes.width, sizes.width))
    chosen = SCHEDULES[schedule] or Plateau(net, data.val)
    factors: list[float] = []

    def rate(share: float) -> float:
        factors.append(chosen(share))
        return factors[-1]

    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    train(net, data.train, optimizer, sizes.num_steps, 64, seed, rate)
    return Outcome(accuracy(net, data.val), accuracy(net, data.test), lr * torch.tensor(factors))


def measure(full: bool) -> Claim:
    """Measure all schedules at all rates, and compare them at the best rate of each."""
    sizes = FULL if full else FAST
    data, seeds = images(sizes.source, sizes.num_train), range(sizes.num_seeds)
    best: dict[str, tuple[float, list[Outcome]]] = {}
    for schedule in SCHEDULES:
        tried = {lr: [outcome(schedule, lr, seed, data, sizes) for seed in seeds] for lr in sizes.rates}
        best[schedule] = max(tried.items(), key=lambda item: mean_and_error([each.val for each in item[1]])[0])
    rows = [_row(schedule, lr, values, best["constant"][1]) for schedule, (lr, values) in best.items()]
    beats = {str(row["schedule"]): row["gain in points"] > 2 * row["error"] for row in rows if row["schedule"] != "constant"}
    verdict = judge(all(beats.values()), in_part=beats["cosine"], trained=rows[0]["test"] > TRAINED)
    measured = f"test accuracy {rows[0]['test']:.3f} at a constant rate; gains in points: "
    measured += ", ".join(f"{row['schedule']} {row['gain in points']:+.2f} ± {row['error']:.2f}" for row in rows[1:])
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(best, rows))


def _row(schedule: str, lr: float, values: list[Outcome], control: list[Outcome]) -> Row:
    gain, error = difference([100 * each.test for each in values], [100 * each.test for each in control])
    row: Row = {"schedule": schedule, "highest rate": lr}
    row |= {part: mean_and_error([each._asdict()[part] for each in values])[0] for part in ("val", "test")}
    return row | {"gain in points": gain, "error": error}


def _draw(best: dict[str, tuple[float, list[Outcome]]], rows: list[Row]) -> Figure:
    """Draw the learning rates of the first seed, and the gains with two standard errors."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (row, (_, values)) in enumerate(zip(rows, best.values(), strict=True)):
        left.plot(values[0].rates, color=f"C{number}", label=str(row["schedule"]))
        right.errorbar(row["gain in points"], -number, xerr=2 * row["error"], color=f"C{number}", marker="o", capsize=3)
    left.set_xlabel("step")
    left.set_ylabel("learning rate")
    left.set_yscale("symlog", linthresh=1e-3)
    left.legend(fontsize=9)
    right.axvline(0, color="lightgrey", zorder=0)
    right.set_yticks([-number for number in range(len(rows))], [f"{row['schedule']}, {row['highest rate']:g}" for row in rows])
    right.set_xlabel("gain in test accuracy over a constant rate, points")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
