"""With few labels, train the head only; with many, train all layers? (Kornblith et al., 2019; Kumar et al., 2022).

python recipes/claims/transfer/strategies_by_labels.py [--full]     a minute on one CPU core; --full about an hour

A pretrained network learns new classes from a few labels of each, by every strategy of `zoo.TransferClassifier`. The control is
the same network from random weights, with all layers at one learning rate. All arms of a seed see the same images in the same
order for the same number of steps.

Full measurements learn Fashion-MNIST from a ResNet-56 that knows CIFAR-10 (`weights/cifar10_resnet56.pth` of the mirror
ZOO_DATA) and, at one number of labels, from an EfficientNet-Lite0 that knows ImageNet (the extra `offline-weights`). They
test on 2,000 images. Fast ones learn Digits from a ResNet-20 that knows Fashion-MNIST, and need no download.
"""

import sys
from typing import Any, NamedTuple, get_args

import torch
from lightning import seed_everything
from matplotlib.figure import Figure

from datamodules import Digits, FashionMNIST
from zoo import TransferClassifier
from zoo.cli.claims import Claim, Row, bare_trainer, judge, main
from zoo.transfer.strategies import Strategy

CLAIM = (
    "With the fewest labels, training only the head is at least as accurate as full fine-tuning; with the most, less accurate."
)
NUM_DIGITS = 1438  # training images of Digits; validation holds out those that do not train
SCRATCH = "scratch"
ARMS = (SCRATCH, *get_args(Strategy))
RESNET20 = {"class_path": "zoo.CIFARResNetClassifier", "init_args": {"depth": 20}}
RESNET56 = {"class_path": "zoo.CIFARResNetClassifier", "init_args": {"depth": 56}}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class Source(NamedTuple):
    """A pretrained network, and the images that it takes."""

    name: str
    backbone: Any
    weights: str
    images: dict[str, Any]  # arguments of the datamodule; empty for Digits


FASHION = Source("ResNet-20, Fashion-MNIST", RESNET20, "resnet20_fashion_mnist", {})
CIFAR = Source("ResNet-56, CIFAR-10", RESNET56, "weights/cifar10_resnet56.pth", {"rgb": True, **IMAGENET})
LITE0 = Source(
    "EfficientNet-Lite0, ImageNet",
    "efficientnet_lite0",
    "offline",
    {"rgb": True, "size": 96, "mean": [0.5] * 3, "std": [0.5] * 3},
)


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_steps: int
    settings: tuple[tuple[Source, int], ...]  # networks, with the number of labels of each class in ascending order


FAST = Sizes(num_seeds=2, num_steps=30, settings=((FASHION, 2), (FASHION, 20)))
FULL = Sizes(num_seeds=3, num_steps=100, settings=((CIFAR, 5), (CIFAR, 20), (CIFAR, 50), (LITE0, 20)))
SMALLEST = FAST._replace(num_seeds=2, num_steps=2)
CONTROLS = {"arm": ["scratch"]}


def accuracy(arm: str, source: Source, labels: int, seed: int, num_steps: int) -> float:
    """Train on `labels` images of each class, and return the accuracy on test images."""
    seed_everything(seed, verbose=False)
    num = 10 * labels
    arguments = {"batch_size": min(32, num), "seed": seed, "split_seed": seed}
    num_epochs = -(-num_steps // (num // arguments["batch_size"]))
    data: Digits | FashionMNIST
    if source.images:
        data = FashionMNIST(**arguments, **source.images, flip=True, num_train=num)
    else:
        data = Digits(**arguments, val_fraction=1 - num / NUM_DIGITS)
    system = TransferClassifier(
        data.input_shape,
        10,
        backbone=source.backbone,
        weights=None if arm == SCRATCH else source.weights,
        strategy="full" if arm == SCRATCH else arm,
        lr_decay=1.0 if arm == SCRATCH else None,
        unfreeze_every=max(1, num_epochs // 8),
        probe_epochs=max(1, num_epochs // 3),
        cache_features=False,  # all arms see the same augmented images
        lr=3e-3,
        optim={"name": "adamw", "weight_decay": 0.01, "schedule": "cosine"},
    )
    trainer = bare_trainer(max_epochs=num_epochs, max_steps=num_steps, limit_test_batches=8)
    trainer.fit(system, datamodule=data)
    data.batch_size = 250
    return float(trainer.test(system, datamodule=data, verbose=False)[0]["test/acc"])


def measure(full: bool) -> Claim:
    """Measure all arms at all numbers of labels. The claim holds if it holds for the first network's means over seeds."""
    num_seeds, num_steps, settings = FULL if full else FAST
    seeds = list(range(num_seeds))
    rows: list[Row] = []
    for source, labels in settings:
        for arm in ARMS:
            found = torch.tensor([accuracy(arm, source, labels, seed, num_steps) for seed in seeds])
            row: Row = {"pretrained network": source.name, "labels of each class": labels, "arm": arm}
            rows.append({**row, "accuracy": found.mean().item(), "accuracy sd": found.std().item()})
    first = [labels for source, labels in settings if source is settings[0][0]]
    of = {(row["labels of each class"], row["arm"]): row["accuracy"] for row in rows[: len(first) * len(ARMS)]}
    few, many, head, whole = first[0], first[-1], "feature_extraction", "full"
    trained = all(of[many, arm] > 0.5 for arm in (head, whole))
    holds = of[few, head] >= of[few, whole] and of[many, head] < of[many, whole]
    measured = "; ".join(
        f"{source.name}, {labels} labels: "
        + ", ".join(
            f"{row['arm']} {row['accuracy']:.3f}"
            for row in rows
            if (row["pretrained network"], row["labels of each class"]) == (source.name, labels)
        )
        for source, labels in settings
    )
    return Claim(CLAIM, measured, judge(holds, trained=trained), seeds, rows, _draw(rows))


def _draw(rows: list[Row]) -> Figure:
    """Draw the accuracy of each arm by the number of labels, a panel for each network."""
    names = list(dict.fromkeys(row["pretrained network"] for row in rows))
    figure = Figure(figsize=(5 * len(names), 4.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False).flat, names, strict=True):
        for arm in ARMS:
            of_arm = [row for row in rows if (row["pretrained network"], row["arm"]) == (name, arm)]
            labels, means, deviations = (
                [row[key] for row in of_arm] for key in ("labels of each class", "accuracy", "accuracy sd")
            )
            axes.errorbar(labels, means, deviations, fmt="o--" if arm == SCRATCH else "o-", capsize=3, label=arm)
        axes.set_xscale("log")
        axes.set_xticks(labels, [str(num) for num in labels])
        axes.minorticks_off()
        axes.set_xlabel("labels of each class")
        axes.set_ylabel("accuracy on test images")
        axes.set_title(name, fontsize=10)
        axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
