"""Does batch norm allow higher learning rates, and does it regularise? (Ioffe & Szegedy, 2015, arXiv:1502.03167).

python recipes/claims/training/batchnorm_rates.py [--full]        seconds on one CPU core; --full a few minutes

MLPs with six hidden layers are trained by plain SGD at learning rates from 0.003 to 30. They differ in what stands before each
ReLU: nothing, a batch norm, or a batch norm whose statistics are those of the initial network and never change. The last one
is the control: it has the same scales, shifts and initial activations, but does not normalise the batches of training. A rate
works if the network reaches 90 % of the best validation accuracy of its arm. For the effect on overfitting, each arm is taken
at its best rate on validation, and its training accuracy is compared with its test accuracy.

Criterion: the claim holds if the highest rate that works is at least three times as high with batch norm as without and as
with fixed statistics, and the gap between training and test accuracy is smaller with batch norm than without by more than two
standard errors. It holds in part if only the rates are higher. It cannot be told if the best accuracy of an arm is below 60 %.

The paper explains this by less "internal covariate shift". Santurkar et al. (2018, arXiv:1805.11604) dispute that: networks
whose activations were made to shift after batch norm trained as well. The explanation is not measured here.
"""

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.cli.arms import Images, Source, Splits, accuracy, dense_net, difference, images, logits_of, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Batch norm allows higher learning rates, and regularises a little."
ARMS = ("no norm", "batch norm", "fixed statistics")
WORKS = 0.9  # of the best accuracy of an arm
TRAINED = 0.6  # accuracy
HIGHER = 3.0  # times


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_train: int | None
    num_steps: int
    width: int
    rates: tuple[float, ...]


RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FAST = Sizes(num_seeds=2, source="digits", num_train=500, num_steps=150, width=32, rates=RATES[1::2])
FULL = Sizes(num_seeds=3, source="fashion_mnist", num_train=2000, num_steps=600, width=64, rates=RATES)
SMALLEST = FAST._replace(num_steps=5, rates=(0.01, 0.3))
CONTROLS = {"arm": ["no norm", "fixed statistics"]}


class Outcome(NamedTuple):
    """Accuracies of a trained network."""

    train: float
    val: float
    test: float


class FixedNorm(nn.BatchNorm1d):
    """Batch norm that takes the statistics of its first batch for all later ones, in both modes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (B, F) by the statistics of the first batch."""
        if self.num_batches_tracked == 0:
            self.running_mean, self.running_var = x.detach().mean(0), x.detach().var(0)
            self.num_batches_tracked += 1
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps)


def build(arm: str, seed: int, width: int, x: Tensor) -> nn.Sequential:
    """Build a network. Networks of one seed have equal initial weights; `x` (B, ...) fixes the statistics of the control."""

    def between(width: int) -> list[nn.Module]:
        norms = {"no norm": [], "batch norm": [nn.BatchNorm1d(width)], "fixed statistics": [FixedNorm(width)]}
        return [*norms[arm], nn.ReLU()]

    torch.manual_seed(seed)
    net = dense_net((x[0].numel(), *[width] * 6), between)
    for layer in net:
        if isinstance(layer, nn.Linear):  # as He et al. (2015) do, so that all arms start with activations of a fair size
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    with torch.no_grad():
        net.eval()(x)
    return net


def outcome(arm: str, lr: float, seed: int, data: Splits, sizes: Sizes) -> Outcome:
    """Train a network at a learning rate."""
    net = build(arm, seed, sizes.width, data.train.x)
    train(net, data.train, torch.optim.SGD(net.parameters(), lr=lr), sizes.num_steps, 64, seed)
    return Outcome(*(_accuracy(net, part) for part in data))


def _accuracy(net: nn.Module, data: Images) -> float:
    """Return the accuracy, which is chance if the weights have diverged."""
    return accuracy(net, data) if logits_of(net, data.x[:1]).isfinite().all() else 0.1


def measure(full: bool) -> Claim:
    """Measure all arms at all rates. Rates are chosen on validation."""
    sizes = FULL if full else FAST
    data, seeds = images(sizes.source, sizes.num_train), range(sizes.num_seeds)
    found = {(arm, lr): [outcome(arm, lr, seed, data, sizes) for seed in seeds] for arm in ARMS for lr in sizes.rates}
    val = {key: mean_and_error([each.val for each in values])[0] for key, values in found.items()}
    best = {arm: max(sizes.rates, key=lambda lr, arm=arm: val[arm, lr]) for arm in ARMS}
    highest = {arm: max(lr for lr in sizes.rates if val[arm, lr] >= WORKS * val[arm, best[arm]]) for arm in ARMS}
    gaps = {arm: [each.train - each.test for each in found[arm, best[arm]]] for arm in ARMS}
    smaller, error = difference(gaps["no norm"], gaps["batch norm"])
    others = [highest[arm] for arm in ARMS if arm != "batch norm"]
    higher = highest["batch norm"] >= 0.999 * HIGHER * max(others)
    verdict = judge(higher and smaller > 2 * error, in_part=higher, trained=min(val[arm, best[arm]] for arm in ARMS) > TRAINED)
    measured = "highest rate that works: " + ", ".join(f"{arm} {highest[arm]:g}" for arm in ARMS)
    measured += (
        f"; at the best rates, batch norm changes the gap between training and test accuracy by {-smaller:+.3f} ± {error:.3f}"
    )
    measured += "; test accuracy there: "
    tests = {arm: mean_and_error([each.test for each in found[arm, best[arm]]])[0] for arm in ARMS}
    measured += ", ".join(f"{arm} {tests[arm]:.3f}" for arm in ARMS)
    rows = [_row(*key, values, highest, best) for key, values in found.items()]
    return Claim(CLAIM, measured, verdict, list(seeds), rows, _draw(sizes.rates, found, highest))


def _row(arm: str, lr: float, values: list[Outcome], highest: dict[str, float], best: dict[str, float]) -> Row:
    row: Row = {"arm": arm, "rate": lr}
    for part in Outcome._fields:
        row[part] = mean_and_error([each._asdict()[part] for each in values])[0]
    row["val error"] = mean_and_error([each.val for each in values])[1]
    row["is"] = ", ".join(["best"] * (lr == best[arm]) + ["highest that works"] * (lr == highest[arm]))
    return row


def _draw(rates: tuple[float, ...], found: dict[tuple[str, float], list[Outcome]], highest: dict[str, float]) -> Figure:
    """Draw the validation accuracy by learning rate, with two standard errors."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for arm in ARMS:
        means, errors = zip(*(mean_and_error([each.val for each in found[arm, lr]]) for lr in rates), strict=True)
        axes.errorbar(
            rates, means, [2 * error for error in errors], marker="o", capsize=3, label=f"{arm}: up to {highest[arm]:g}"
        )
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation accuracy")
    axes.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
