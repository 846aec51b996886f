"""Does dropout help, and by more where training samples are few? (Srivastava et al., 2014).

python recipes/claims/training/dropout_few_data.py [--full]        seconds on one CPU core; --full a few minutes

MLPs with two hidden layers are trained on training sets of different sizes, with dropout after each hidden layer. Networks of
one seed share initial weights, the order of samples and the number of steps, so that only the rate of dropout differs. The
gain is the difference in test accuracy to the control, dropout at rate 0, seed by seed.

Criterion: the claim holds if, at a rate of 0.5, which the reference recommends, the gain with the fewest samples is above 0
and above the gain with the most samples, each by more than two standard errors. It holds in part if there is a gain of more
than two standard errors for at least one number of samples.

Full measurements use Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from typing import NamedTuple

import torch
from torch import nn

from zoo.cli.arms import Source, Splits, accuracy, dense_net, difference, gain_figure, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Dropout raises the test accuracy, by more where training samples are few."
P = 0.5


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    nums_train: tuple[int, ...]
    rates: tuple[float, ...]  # of dropout
    num_steps: int
    width: int


FAST = Sizes(num_seeds=3, source="digits", nums_train=(50, 200, 1200), rates=(0.0, P), num_steps=200, width=128)
FULL = Sizes(5, "fashion_mnist", nums_train=(100, 1000, 10_000, 50_000), rates=(0.0, 0.2, P), num_steps=1000, width=256)
SMALLEST = FAST._replace(num_seeds=2, nums_train=(50, 100), num_steps=3, width=16)
CONTROLS = {"p": [0.0]}


def build(p: float, seed: int, num_inputs: int, width: int) -> nn.Sequential:
    """Build a network. Networks of one seed have equal initial weights."""
    torch.manual_seed(seed)
    return dense_net((num_inputs, width, width), lambda width: [nn.ReLU(), nn.Dropout(p)])


def scores(p: float, seed: int, data: Splits, sizes: Sizes) -> tuple[float, float]:
    """Train a network; return its training and its test accuracy."""
    net = build(p, seed, data.train.x[0].numel(), sizes.width)
    train(net, data.train, torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0), sizes.num_steps, 64, seed)
    return accuracy(net, data.train), accuracy(net, data.test)


def measure(full: bool) -> Claim:
    """Measure the gain of dropout by the number of training samples."""
    sizes = FULL if full else FAST
    seeds = range(sizes.num_seeds)
    found: dict[tuple[int, float], list[tuple[float, float]]] = {}
    for num in sizes.nums_train:
        data = images(sizes.source, num)
        found |= {(num, p): [scores(p, seed, data, sizes) for seed in seeds] for p in sizes.rates}
    gains = {
        (num, p): [test - control for (_, test), (_, control) in zip(found[num, p], found[num, 0.0], strict=True)]
        for num, p in found
    }
    few, many = sizes.nums_train[0], sizes.nums_train[-1]
    helps = {num: mean > 2 * error for num in sizes.nums_train for mean, error in [mean_and_error(gains[num, P])]}
    more, more_error = difference(gains[few, P], gains[many, P])
    verdict = judge(helps[few] and more > 2 * more_error, in_part=any(helps.values()))
    shown = (
        f"{num:,} samples {mean:+.2f} ± {error:.2f}" for num in sizes.nums_train for mean, error in [_points(gains[num, P])]
    )
    measured = f"gain in test accuracy by dropout at {P}, in points: " + ", ".join(shown)
    rows = [_row(*key, values, gains[key]) for key, values in found.items()]
    points = {f"p = {p}": [_points(gains[num, p]) for num in sizes.nums_train] for p in sizes.rates[1:]}
    figure = gain_figure(sizes.nums_train, points, control="p = 0", of="samples")
    return Claim(CLAIM, measured, verdict, list(seeds), rows, figure)


def _points(gains: list[float]) -> tuple[float, float]:
    mean, error = mean_and_error(gains)
    return 100 * mean, 100 * error


def _row(num: int, p: float, values: list[tuple[float, float]], gains: list[float]) -> Row:
    trained, test = (mean_and_error(column)[0] for column in zip(*values, strict=True))
    gain, error = _points(gains)
    return {"samples": num, "p": p, "train": trained, "test": test, "gain in points": gain, "error": error}


if __name__ == "__main__":
    sys.exit(main(__file__))
