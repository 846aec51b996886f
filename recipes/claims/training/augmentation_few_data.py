"""Does augmentation help, and by most where training images are few? (Shorten & Khoshgoftaar, 2019).

python recipes/claims/training/augmentation_few_data.py [--full]        seconds on one CPU core; --full about six minutes

Small CNNs with a hidden layer after the convolutions are trained on training sets of different sizes. In one arm each image is
shifted by up to a pixel in each direction and mirrored at random, anew whenever it is read. Networks of one seed share initial
weights, the order of images and the number of steps. The gain is the difference in test accuracy to the control without
augmentation, seed by seed.

A second control changes each image once, and then shows the same version in all epochs. It sees the same kind of images, but no
more of them than there are, so that it shows whether the gain comes from the greater number.

Criterion: the claim holds if the gain with the fewest images is above 0 and above the gain with the most images, each by more
than two standard errors. It holds in part if there is a gain of more than two standard errors for at least one number of
images. It cannot be told if the control with the fewest images does not overfit, because there is nothing to gain then: if its
training accuracy is less than 5 points above its test accuracy. In an earlier version the networks averaged their features over
the image, so that they were nearly invariant to shifts and hardly overfitted; augmentation then cost two to three points at
every size.

The result is about a small budget of steps, and about images that are all centred and mostly point in one direction: what
augmentation teaches, shifts and mirror images, hardly occurs in the test part. Full measurements use Fashion-MNIST at half the
resolution. Fast ones use Digits and shifts only, because most mirrored digits are not digits.
"""

import sys
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.cli.arms import Change, Source, Splits, accuracy, conv_net, difference, gain_figure, images, mean_and_error, train
from zoo.cli.claims import Claim, Row, judge, main

CLAIM = "Augmentation raises the test accuracy, by most where training images are few."
ARMS = ("none", "changed once", "random")
OVERFITS = 5.0  # points that the training accuracy exceeds the test accuracy by


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    source: Source
    nums_train: tuple[int, ...]
    num_steps: int
    widths: tuple[int, ...]


FAST = Sizes(num_seeds=2, source="digits", nums_train=(50, 1000), num_steps=100, widths=(8, 16))
FULL = Sizes(num_seeds=3, source="fashion_mnist", nums_train=(200, 2000, 20_000), num_steps=700, widths=(16, 32))
SMALLEST = FAST._replace(nums_train=(20, 40), num_steps=3, widths=(4,))
CONTROLS = {"arm": ["none", "changed once"]}


def moved(x: Tensor, draws: Tensor, flip: bool) -> Tensor:
    """Shift images (B, C, H, W) by -1, 0 or 1 pixel down and right, by uniform draws (B, 3) in [0, 1), and mirror half of them.

    Pixels that come in have the value of the images' top left pixel, which is background.
    """
    height, width = x.shape[2:]
    background = x[:, :, :1, :1].expand(-1, -1, height + 2, width + 2).clone()
    background[:, :, 1:-1, 1:-1] = x
    down, right = (3 * draws[:, :2]).long().unbind(1)
    rows, columns = down[:, None] + torch.arange(height), right[:, None] + torch.arange(width)
    which = torch.arange(len(x))[:, None, None]
    shifted = background.movedim(1, 3)[which, rows[:, :, None], columns[:, None, :]].movedim(3, 1)
    mirrored = (draws[:, 2] < 0.5)[:, None, None, None] & flip
    return torch.where(mirrored, shifted.flip(3), shifted)


def change_of(arm: str, seed: int, num_samples: int, flip: bool) -> Change | None:
    """Return the augmentation of an arm, or None."""
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.rand(num_samples, 3, generator=generator)

    def change(x: Tensor, y: Tensor, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
        draws = fixed[rows] if arm == "changed once" else torch.rand(len(x), 3, generator=generator)
        return moved(x, draws, flip), y

    return None if arm == "none" else change


def scores(arm: str, seed: int, data: Splits, sizes: Sizes) -> tuple[float, float]:
    """Train a network; return its accuracy on unchanged training images and on test images, in percent.

    Networks of one seed have equal initial weights and order of images.
    """
    torch.manual_seed(seed)
    net = conv_net(sizes.widths, nn.BatchNorm2d, data.train.x.shape[3])
    change = change_of(arm, seed, len(data.train.y), flip=sizes.source == "fashion_mnist")
    train(net, data.train, torch.optim.AdamW(net.parameters(), lr=5e-3), sizes.num_steps, 32, seed, change=change)
    return 100 * accuracy(net, data.train), 100 * accuracy(net, data.test)


def measure(full: bool) -> Claim:
    """Measure the gain of augmentation by the number of training images."""
    sizes = FULL if full else FAST
    seeds = range(sizes.num_seeds)
    both: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for num in sizes.nums_train:
        data = images(sizes.source, num)
        both |= {(num, arm): [scores(arm, seed, data, sizes) for seed in seeds] for arm in ARMS}
    found = {key: [test for _, test in values] for key, values in both.items()}
    gains = {(num, arm): [a - b for a, b in zip(each, found[num, "none"], strict=True)] for (num, arm), each in found.items()}
    few, many = sizes.nums_train[0], sizes.nums_train[-1]
    points = {key: mean_and_error(each) for key, each in gains.items()}
    helps = [mean > 2 * error for (_, arm), (mean, error) in points.items() if arm == "random"]
    more, error = difference(gains[few, "random"], gains[many, "random"])
    overfit = mean_and_error([trained - test for trained, test in both[few, "none"]])[0]
    verdict = judge(helps[0] and more > 2 * error, in_part=any(helps), trained=overfit > OVERFITS)
    shown = {arm: [f"{points[n, arm][0]:+.2f} ± {points[n, arm][1]:.2f} with {n:,}" for n in sizes.nums_train] for arm in ARMS}
    measured = "gain in test accuracy, in points: " + ", ".join(shown["random"]) + " images"
    measured += "; by images changed once: " + ", ".join(shown["changed once"])
    measured += f"; without augmentation, {few} training images have {overfit:.0f} points more accuracy than test images"
    rows = [_row(*key, values, points[key]) for key, values in both.items()]
    shown_points = {arm: [points[num, arm] for num in sizes.nums_train] for arm in ARMS[1:]}
    figure = gain_figure(sizes.nums_train, shown_points, control="none", of="images")
    return Claim(CLAIM, measured, verdict, list(seeds), rows, figure)


def _row(num: int, arm: str, values: list[tuple[float, float]], gain: tuple[float, float]) -> Row:
    trained, test = (mean_and_error(column)[0] for column in zip(*values, strict=True))
    return {"images": num, "arm": arm, "train": trained, "test": test, "gain in points": gain[0], "error": gain[1]}


if __name__ == "__main__":
    sys.exit(main(__file__))
