"""Do Mixup and CutMix calibrate a classifier without costing accuracy? (Thulasidasan et al., 2019; Yun et al., 2019).

python recipes/claims/cnn/mixing_and_calibration.py [--full]        half a minute on one CPU core; --full about ten

Small CNNs with the same initial weights and the same order of images are trained with Mixup, with CutMix, with label smoothing
(which also softens targets, but mixes no images), and with none of them, the control. Measured on the test part are the
accuracy, the negative log-likelihood, and the expected calibration error (ECE): the mean difference between confidence and
accuracy over 15 bins of confidence. The mean confidence minus the accuracy tells in which direction a network is wrong: softer
targets can only help a network that is overconfident without them.

Full measurements use 2,000 training images of Fashion-MNIST, fast ones Digits, which need no download.
"""

import sys
from typing import NamedTuple

import torch
import torch.nn.functional as F
from lightning import seed_everything
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from datamodules import Digits, FashionMNIST
from datamodules.images.augmentation import Augment
from zoo import SimpleCNNClassifier
from zoo.cli.claims import Claim, Row, bare_trainer, judge, main

CLAIM = "Mixup and CutMix each lower the expected calibration error without lowering the accuracy by more than half a point."
MOST_LOST = 0.005  # accuracy
NUM_BINS = 15
ARMS: dict[str, tuple[Augment, float]] = {  # augmentation, label smoothing
    "none": ({}, 0.0),
    "Mixup 0.2": ({"mixup": 0.2}, 0.0),
    "CutMix 1": ({"cutmix": 1.0}, 0.0),
    "label smoothing 0.1": ({}, 0.1),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_epochs: int
    widths: tuple[int, ...]
    num_train: int | None  # images of Fashion-MNIST; None for Digits


FAST = Sizes(num_seeds=2, num_epochs=10, widths=(8, 16), num_train=None)
FULL = Sizes(num_seeds=3, num_epochs=20, widths=(16, 32, 64), num_train=2000)
SMALLEST = FAST._replace(num_seeds=2, num_epochs=1, widths=(4,))
CONTROLS = {"arm": ["none", "label smoothing 0.1"]}


def predict(arm: str, seed: int, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Train a network; return its probabilities for the test images (N, K) and their classes (N,)."""
    augment, smoothing = ARMS[arm]
    seed_everything(seed, verbose=False)
    if sizes.num_train is None:
        data: Digits | FashionMNIST = Digits(batch_size=64, seed=seed, augment=augment)
    else:
        data = FashionMNIST(batch_size=64, seed=seed, augment=augment, num_train=sizes.num_train)
    optim = {"name": "adamw", "weight_decay": 0.05, "schedule": "one_cycle"}
    system = SimpleCNNClassifier(data.input_shape, 10, list(sizes.widths), label_smoothing=smoothing, lr=5e-3, optim=optim)
    trainer = bare_trainer(max_epochs=sizes.num_epochs)
    trainer.fit(system, datamodule=data)
    outputs = trainer.predict(system, datamodule=data)
    arrays, rows = data.splits["test"]
    return torch.cat([each["preds"] for each in outputs]).softmax(1), arrays.y[rows]


def scores(probabilities: Tensor, y: Tensor) -> dict[str, float]:
    """Compute accuracy, calibration error, mean confidence minus accuracy, and negative log-likelihood."""
    confidence, predicted = probabilities.max(1)
    accuracy = (predicted == y).float().mean().item()
    return {
        "accuracy": accuracy,
        "ece": multiclass_calibration_error(probabilities, y, probabilities.shape[1], n_bins=NUM_BINS).item(),
        "overconfidence": confidence.mean().item() - accuracy,
        "nll": F.nll_loss(probabilities.log().clamp(min=-100), y).item(),
    }


def measure(full: bool) -> Claim:
    """Measure all arms. The claim holds if it holds for the means over seeds."""
    sizes = FULL if full else FAST
    found = {arm: [predict(arm, seed, sizes) for seed in range(sizes.num_seeds)] for arm in ARMS}
    rows = [_row(arm, [scores(*each) for each in values]) for arm, values in found.items()]
    of = {row["arm"]: row for row in rows}
    none = of["none"]
    mixed = [of["Mixup 0.2"], of["CutMix 1"]]
    holds = all(row["ece"] < none["ece"] and row["accuracy"] >= none["accuracy"] - MOST_LOST for row in mixed)
    measured = "accuracy and ECE: " + ", ".join(f"{row['arm']} {row['accuracy']:.3f}, {row['ece']:.3f}" for row in rows)
    return Claim(CLAIM, measured, judge(holds), list(range(sizes.num_seeds)), rows, _draw(found))


def _row(arm: str, values: list[dict[str, float]]) -> Row:
    """Average over seeds, with standard deviations of accuracy and calibration error."""
    columns = {name: torch.tensor([each[name] for each in values]) for name in values[0]}
    row: Row = {"arm": arm}
    for name, column in columns.items():
        row[name] = column.mean().item()
        if name in ("accuracy", "ece"):
            row[f"{name} sd"] = column.std().item() if len(column) > 1 else 0.0
    return row


def _draw(found: dict[str, list[tuple[Tensor, Tensor]]]) -> Figure:
    """Draw the accuracy of predictions by their confidence, over all seeds."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="lightgrey")
    for arm, values in found.items():
        confidence, predicted = torch.cat([probabilities for probabilities, _ in values]).max(1)
        correct = (predicted == torch.cat([y for _, y in values])).float()
        number = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
        counts = number.bincount(minlength=NUM_BINS)
        enough = counts >= 30  # fewer predictions say little about their accuracy
        means = [number.bincount(value, minlength=NUM_BINS) / counts.clamp(min=1) for value in (confidence, correct)]
        axes.plot(*(mean[enough] for mean in means), "o-", markersize=4, label=arm)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
