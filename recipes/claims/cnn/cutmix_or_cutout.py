"""Is CutMix better than Cutout? (Yun et al., 2019, arXiv:1905.04899; DeVries & Taylor, 2017, arXiv:1708.04552).

python recipes/claims/cnn/cutmix_or_cutout.py [--full]        seconds on one CPU core; --full about five minutes

Cutout erases a square of each training image, here with half the image's side as in its paper. Erased pixels are 0 after
normalisation, so they have the mean value. CutMix fills a box of random size with the same part of another image, and mixes
the two classes in proportion to the areas. So the two differ in two things: the boxes, and what fills them. A third arm has
the boxes of CutMix but erases them as Cutout does, and keeps the class; it shows what the filling alone does. Small CNNs with
a hidden layer after the convolutions, with the same initial weights and order of images, are trained in each way, and without
augmentation, which is the control.

Criterion: the claim holds if the test accuracy of CutMix exceeds that of Cutout by more than two standard errors of the
difference, seed by seed. It does not hold otherwise. Both are regularisers, so they can only help a network that overfits: it
cannot be told if the training accuracy of the control is less than 5 points above its test accuracy. Whether either beats no
augmentation is stated beside it. In an earlier version the networks averaged their features over the image and hardly
overfitted; both techniques then cost accuracy, CutMix by a point more than Cutout.

Full measurements use 2,000 training images of Fashion-MNIST at half the resolution, fast ones Digits.
"""

import sys
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.augment.erasing import cutout
from zoo.augment.mixing import cutmix_weights, mix
from zoo.cli.arms import Change, Source, Splits, accuracy, conv_net, difference, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "CutMix gives a higher test accuracy than Cutout."
OVERFITS = 5.0  # points that the training accuracy exceeds the test accuracy by
ARMS = ("none", "Cutout", "CutMix's boxes, erased", "CutMix")


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    num_train: int
    num_steps: int
    widths: tuple[int, ...]


FAST = Sizes(num_seeds=2, source="digits", num_train=300, num_steps=150, widths=(8, 16))
FULL = Sizes(num_seeds=3, source="fashion_mnist", num_train=2000, num_steps=1500, widths=(16, 32))
SMALLEST = FAST._replace(num_train=40, num_steps=3, widths=(4,))
CONTROLS = {"arm": ["none", "CutMix's boxes, erased"]}


def change_of(arm: str, seed: int) -> Change | None:
    """Return the augmentation of an arm, or None. CutMix and its erased boxes draw the same boxes for one seed."""
    generator = torch.Generator().manual_seed(seed)

    def change(x: Tensor, y: Tensor, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
        draws, (height, width) = torch.rand(len(x), 3, generator=generator), x.shape[2:]
        if arm == "Cutout":
            return cutout(x, draws[:, 1:], height // 2), y
        weights = cutmix_weights(draws, 1.0, height, width)
        return mix(x, y, weights, num_classes=10) if arm == "CutMix" else (x * weights, y)

    return None if arm == "none" else change


def scores(arm: str, seed: int, data: Splits, sizes: Sizes) -> tuple[float, float]:
    """Train a network; return its accuracy on unchanged training images and on test images, in percent."""
    torch.manual_seed(seed)
    net = conv_net(sizes.widths, nn.BatchNorm2d, data.train.x.shape[3])
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    train(net, data.train, optimizer, sizes.num_steps, 32, seed, change=change_of(arm, seed))
    return 100 * accuracy(net, data.train), 100 * accuracy(net, data.test)


def measure(full: bool) -> Claim:
    """Measure all arms."""
    sizes = FULL if full else FAST
    data, seeds = images(sizes.source, sizes.num_train), range(sizes.num_seeds)
    found = {arm: [scores(arm, seed, data, sizes) for seed in seeds] for arm in ARMS}
    tests = {arm: [test for _, test in values] for arm, values in found.items()}
    gain, error = difference(tests["CutMix"], tests["Cutout"])
    rows = [_row(arm, values, tests) for arm, values in found.items()]
    measured = f"CutMix - Cutout {gain:+.2f} ± {error:.2f} points; test accuracy: "
    measured += ", ".join(f"{row['arm']} {row['test']:.1f} %" for row in rows)
    measured += f"; the network without augmentation reaches {rows[0]['train']:.1f} % on its training images"
    overfits = rows[0]["train"] - rows[0]["test"] > OVERFITS
    return Claim(CLAIM, measured, judge(gain > 2 * error, trained=overfits), list(seeds), rows, _draw(tests))


def _row(arm: str, values: list[tuple[float, float]], tests: dict[str, list[float]]) -> Row:
    (trained, _), (test, error) = (mean_and_error(column) for column in zip(*values, strict=True))
    gain, gain_error = difference(tests[arm], tests["none"])
    return {"arm": arm, "train": trained, "test": test, "error": error, "gain in points": gain, "error of gain": gain_error}


def _draw(tests: dict[str, list[float]]) -> Figure:
    """Draw the accuracies of all seeds, with their means."""
    figure = Figure(figsize=(6.5, 3.2), layout="constrained")
    axes = figure.subplots()
    for number, values in enumerate(tests.values()):
        axes.plot(values, [-number] * len(values), "o", alpha=0.5)
        axes.plot(mean_and_error(values)[0], -number, "|", color="black", markersize=20)
    axes.set_yticks([-number for number in range(len(tests))], list(tests))
    axes.set_ylim(0.5 - len(tests), 0.5)
    axes.set_xlabel("test accuracy in percent; points are seeds, bars their means")
    axes.grid(axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
