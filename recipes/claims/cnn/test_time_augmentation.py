"""How much accuracy does averaging over views of a test image add? (Krizhevsky et al., 2012; Shanmugam et al., 2021).

python recipes/claims/cnn/test_time_augmentation.py [--full]        half a minute on one CPU core; --full about four

Small CNNs are trained with flips and shifts, and without any augmentation. Each is tested on single images and on averages over
views: the image and its mirror image, the image and four shifted copies, or five crops. The control averages over two
identical views, which costs the same as a mirror image and can change nothing. The gain is the difference in accuracy to single
images of the same network, so that seeds differ in networks, not in test images.

Full measurements use 2,000 training images of Fashion-MNIST, fast ones Digits, which need no download. Most
mirrored digits are not digits, which shows what a wrong view costs.
"""

import math
import sys
from typing import NamedTuple, get_args

import torch
from lightning import seed_everything
from matplotlib.figure import Figure
from torch import Tensor

from datamodules import Digits, FashionMNIST
from zoo import SimpleCNNClassifier
from zoo.augment.test_time import AverageViews, Views, average
from zoo.cli.claims import Claim, Row, bare_trainer, judge, main

CLAIM = (
    "Averaging over an image and its mirror image raises the accuracy of a network trained with flips, by more than twice the "
    "standard error over seeds."
)
TRAININGS = {"flips and shifts": True, "no augmentation": False}
VIEWS = ("single", "identical", *get_args(Views))


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_epochs: int
    widths: tuple[int, ...]
    num_train: int | None  # images of Fashion-MNIST; None for Digits


FAST = Sizes(num_seeds=2, num_epochs=10, widths=(8, 16), num_train=None)
FULL = Sizes(num_seeds=3, num_epochs=20, widths=(16, 32, 64), num_train=2000)
SMALLEST = FAST._replace(num_seeds=2, num_epochs=1, widths=(4,))
CONTROLS = {"views": ["single", "identical"]}


def accuracies(augmented: bool, seed: int, sizes: Sizes) -> dict[str, float]:
    """Train a network, and return its test accuracy for each kind of view."""
    seed_everything(seed, verbose=False)
    shift = 1 if augmented else 0
    if sizes.num_train is None:
        data: Digits | FashionMNIST = Digits(batch_size=64, seed=seed, shift=shift)
    else:
        data = FashionMNIST(batch_size=64, seed=seed, flip=augmented, shift=shift, num_train=sizes.num_train)
    optim = {"name": "adamw", "weight_decay": 0.05, "schedule": "one_cycle"}
    system = SimpleCNNClassifier(data.input_shape, 10, list(sizes.widths), lr=5e-3, optim=optim)
    trainer = bare_trainer(max_epochs=sizes.num_epochs)
    trainer.fit(system, datamodule=data)
    batches = [data.transform(batch, 0, False) for batch in data.loader("test")]
    correct = dict.fromkeys(VIEWS, 0)
    for batch in batches:
        for views, logits in predict(system, batch.x).items():
            correct[views] += int((logits.argmax(1) == batch.y).sum())
    return {views: num / sum(len(batch.y) for batch in batches) for views, num in correct.items()}


@torch.no_grad()
def predict(system: SimpleCNNClassifier, x: Tensor) -> dict[str, Tensor]:
    """Return logits, or logarithms of mean probabilities, for each kind of view: (B, K) each."""
    net = system.net.eval()
    averaged = {views: AverageViews(net, views)(x) for views in get_args(Views)}
    return {"single": net(x), "identical": average(net(torch.cat([x, x])).view(2, len(x), -1)), **averaged}


def measure(full: bool) -> Claim:
    """Measure all views. The claim holds if the mirror image's mean gain is above twice its standard error."""
    sizes = FULL if full else FAST
    rows = []
    for name, augmented in TRAININGS.items():
        found = [accuracies(augmented, seed, sizes) for seed in range(sizes.num_seeds)]
        rows += [_row(name, views, found) for views in VIEWS]
    of = {(row["training"], row["views"]): row for row in rows}
    flip = of["flips and shifts", "flip"]
    holds = flip["gain"] > 2 * flip["standard error"]
    parts = [
        f"{name}: {of[name, 'single']['accuracy']:.3f} for single images, then "
        + ", ".join(f"{views} {100 * of[name, views]['gain']:+.2f}" for views in VIEWS[1:])
        for name in TRAININGS
    ]
    measured = f"accuracy, and gains in points; trained with {'; with '.join(parts)}"
    return Claim(CLAIM, measured, judge(holds), list(range(sizes.num_seeds)), rows, _draw(of))


def _row(training: str, views: str, found: list[dict[str, float]]) -> Row:
    gain = torch.tensor([each[views] - each["single"] for each in found], dtype=torch.float64)
    return {
        "training": training,
        "views": views,
        "accuracy": sum(each[views] for each in found) / len(found),
        "gain": gain.mean().item(),
        "standard error": gain.std().item() / math.sqrt(len(gain)) if len(gain) > 1 else 0.0,
    }


def _draw(of: dict[tuple[str, str], Row]) -> Figure:
    """Draw the gain in accuracy of each kind of view, with its standard error."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(TRAININGS):
        values = [of[name, views] for views in VIEWS[1:]]
        left = [number + 0.4 * (place - 0.5) for number in range(len(values))]
        errors = [100 * row["standard error"] for row in values]
        axes.bar(left, [100 * row["gain"] for row in values], width=0.38, yerr=errors, capsize=3, label=f"trained with {name}")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(VIEWS) - 1), VIEWS[1:])
    axes.set_ylabel("gain in points of accuracy")
    axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
