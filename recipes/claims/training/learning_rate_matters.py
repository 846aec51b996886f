"""Does the learning rate matter more than any other setting?

python recipes/claims/training/learning_rate_matters.py [--full]        seconds on one CPU core; --full a few minutes

An MLP with fair settings is trained with AdamW and a cosine schedule. One setting at a time is then varied over five values:
the learning rate and the weight decay over a factor of 1,000, the width over a factor of 256, the batch size over a factor of
256 with the same number of images seen, the depth from one hidden layer to five, and dropout from 0 to 0.8. The spread of a
setting is the difference between the best and the worst mean validation accuracy of its values. Learning rate, weight decay,
width and batch size are also compared within a factor of 10 around the fair setting, because what matters most depends on how
far one errs.

The control varies nothing but the seed, which shows what spread comes by chance.

Criterion: the claim holds if the spread of the learning rate exceeds that of every other setting by more than two standard
errors in the wide ranges. It holds in part if it exceeds all of them but one. It cannot be told if the fair settings stay
below 60 %. Full measurements use 3,000 images of Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import nn

from zoo.cli.arms import Source, Splits, accuracy, dense_net, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "The learning rate matters more than any other setting."
TRAINED = 0.6  # accuracy


class Settings(NamedTuple):
    """Settings of one network."""

    lr: float = 3e-3
    weight_decay: float = 0.01
    width: int = 64
    depth: int = 2  # hidden layers
    batch_size: int = 64
    dropout: float = 0.0


FAIR = Settings()
VALUES: dict[str, tuple[str, tuple[float, ...]]] = {  # the setting, and its values
    "learning rate, factor 1000": ("lr", (1e-4, 6e-4, 3e-3, 0.02, 0.1)),
    "weight decay, factor 1000": ("weight_decay", (3e-4, 2e-3, 0.01, 0.06, 0.3)),
    "width, factor 256": ("width", (2, 8, 64, 128, 512)),
    "batch size, factor 256": ("batch_size", (4, 16, 64, 256, 1024)),
    "depth, 1 to 5": ("depth", (1, 2, 3, 4, 5)),
    "dropout, 0 to 0.8": ("dropout", (0.0, 0.2, 0.4, 0.6, 0.8)),
    "learning rate, factor 10": ("lr", (0.001, 3e-3, 0.01)),
    "weight decay, factor 10": ("weight_decay", (0.003, 0.01, 0.03)),
    "width, factor 10": ("width", (20, 64, 200)),
    "batch size, factor 10": ("batch_size", (20, 64, 200)),
}
RATE = "learning rate, factor 1000"
NOTHING = "nothing, control"


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_train: int
    num_epochs: int


FAST = Sizes(num_seeds=2, source="digits", num_train=300, num_epochs=6)
FULL = Sizes(num_seeds=3, source="fashion_mnist", num_train=3000, num_epochs=10)
SMALLEST = FAST._replace(num_train=64, num_epochs=1)
CONTROLS = {"varied": [NOTHING]}


def score(settings: Settings, seed: int, data: Splits, num_epochs: int) -> float:
    """Train a network and return its validation accuracy. Nothing is scored on the test part, since settings are compared."""
    torch.manual_seed(seed)
    widths = (data.train.x[0].numel(), *[settings.width] * settings.depth)
    net = dense_net(widths, lambda width: [nn.ReLU(), nn.Dropout(settings.dropout)])
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    num_steps = max(1, num_epochs * len(data.train.y) // settings.batch_size)
    train(net, data.train, optimizer, num_steps, settings.batch_size, seed)
    return accuracy(net, data.val)


def spread(scores: list[list[float]]) -> tuple[float, float]:
    """Return the best mean minus the worst, for scores by value and seed, and the standard error of this difference."""
    means = sorted(mean_and_error(each) for each in scores)
    return means[-1][0] - means[0][0], (means[-1][1] ** 2 + means[0][1] ** 2) ** 0.5


def measure(full: bool) -> Claim:
    """Measure the spreads of all settings."""
    sizes = FULL if full else FAST
    data, seeds = images(sizes.source, sizes.num_train), range(sizes.num_seeds)
    known: dict[Settings, list[float]] = {}  # fair settings belong to every spread

    def scores(settings: Settings) -> list[float]:
        if settings not in known:
            known[settings] = [score(settings, seed, data, sizes.num_epochs) for seed in seeds]
        return known[settings]

    found = {name: [scores(FAIR._replace(**{field: value})) for value in values] for name, (field, values) in VALUES.items()}
    # The control has as many values as the learning rate, each with seeds of its own.
    values = range(len(VALUES[RATE][1]))
    found[NOTHING] = [[score(FAIR, 100 * value + seed, data, sizes.num_epochs) for seed in seeds] for value in values]
    spreads = {name: spread(each) for name, each in found.items()}
    (wide, error) = spreads[RATE]
    behind = [
        name
        for name, (other, other_error) in spreads.items()
        if not name.startswith("learning rate") and wide - other <= 2 * (error**2 + other_error**2) ** 0.5
    ]
    verdict = judge(not behind, in_part=len(behind) == 1, trained=mean_and_error(scores(FAIR))[0] > TRAINED)
    measured = "spread of the validation accuracy in points: "
    measured += ", ".join(f"{name} {100 * mean:.1f} ± {100 * sd:.1f}" for name, (mean, sd) in spreads.items())
    rows = [_row(name, each, spreads[name]) for name, each in found.items()]
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(found))


def _row(name: str, scores: list[list[float]], found: tuple[float, float]) -> Row:
    means = [mean_and_error(each)[0] for each in scores]
    values = VALUES[name][1] if name in VALUES else range(len(scores))
    row: Row = {"varied": name, "worst at": values[means.index(min(means))], "best at": values[means.index(max(means))]}
    if name == NOTHING:
        row["worst at"] = row["best at"] = None
    return row | {"worst": min(means), "best": max(means), "spread": found[0], "error": found[1]}


def _draw(found: dict[str, list[list[float]]]) -> Figure:
    """Draw the mean accuracies of all values as points, one line per setting."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, scores in enumerate(found.values()):
        means = [mean_and_error(each)[0] for each in scores]
        axes.plot([min(means), max(means)], [-number] * 2, color=f"C{number}", linewidth=5, alpha=0.4)
        axes.plot(means, [-number] * len(means), "o", color=f"C{number}")
    axes.set_yticks([-number for number in range(len(found))], list(found))
    axes.set_xlabel("validation accuracy; a point is the mean over seeds of one value")
    axes.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
