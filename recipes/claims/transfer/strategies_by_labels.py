"""With few labels, train the head only; with many, train all layers? (Kornblith et al., 2019; Kumar et al., 2022).

python recipes/claims/transfer/strategies_by_labels.py [--full]     a minute on one CPU core; --full about forty

A ResNet-20 that knows Fashion-MNIST learns handwritten digits from a few labels of each class, by every strategy of
`zoo.TransferClassifier`. The control is the same network from random weights, with all layers at one learning rate. All arms of
a seed see the same images in the same order for the same number of epochs.

Full measurements use MNIST, fast ones Digits, which need no download. The weights come with the zoo.
"""

import sys
from typing import NamedTuple, get_args

import torch
from lightning import Trainer, seed_everything
from matplotlib.figure import Figure

from datamodules import MNIST, Digits
from zoo import TransferClassifier
from zoo.cli.claims import Claim, Row, main
from zoo.transfer.strategies import Strategy

CLAIM = (
    "With the fewest labels, training only the head is at least as accurate as full fine-tuning; with the most, less accurate."
)
BACKBONE = {"class_path": "zoo.CIFARResNetClassifier", "init_args": {"depth": 20}}
NUM_DIGITS = 1438  # training images of Digits, of which validation holds out all that are not wanted
WEIGHTS = "resnet20_fashion_mnist"  # published weights of this network
SCRATCH = "scratch"
ARMS = (SCRATCH, *get_args(Strategy))


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    labels: tuple[int, ...]  # of each class
    num_epochs: int
    num_test_batches: int  # of 250 images
    digits: bool


FAST = Sizes(num_seeds=2, labels=(2, 20), num_epochs=8, num_test_batches=2, digits=True)
FULL = Sizes(num_seeds=3, labels=(2, 10, 50), num_epochs=30, num_test_batches=12, digits=False)


def accuracy(arm: str, labels: int, seed: int, sizes: Sizes) -> float:
    """Train on `labels` images of each class, and return the accuracy on test images."""
    seed_everything(seed, verbose=False)
    num = 10 * labels
    # The batch is the same size in all arms. The order and the choice of images depend on the seed alone.
    arguments = {"batch_size": min(50, num), "seed": seed, "split_seed": seed}
    digits, few = sizes.digits, {"val_fraction": 1 - num / NUM_DIGITS}
    data: Digits | MNIST = Digits(**arguments, **few) if digits else MNIST(**arguments, num_train=num)
    system = TransferClassifier(
        data.input_shape,
        10,
        backbone=BACKBONE,
        weights=None if arm == SCRATCH else WEIGHTS,
        strategy="full" if arm == SCRATCH else arm,  # type: ignore[arg-type]  # one of ARMS
        lr_decay=1.0 if arm == SCRATCH else None,
        unfreeze_every=max(1, sizes.num_epochs // 8),
        probe_epochs=sizes.num_epochs // 3,
        lr=5e-3,
        optim={"name": "adamw", "weight_decay": 0.01, "schedule": "cosine"},
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=sizes.num_epochs,
        limit_val_batches=0,
        limit_test_batches=sizes.num_test_batches,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system, datamodule=data)
    data.batch_size = 250
    return float(trainer.test(system, datamodule=data, verbose=False)[0]["test/acc"])


def measure(full: bool) -> Claim:
    """Measure all arms at all numbers of labels. The claim holds if it holds for the means over seeds."""
    sizes = FULL if full else FAST
    rows: list[Row] = []
    for labels in sizes.labels:
        for arm in ARMS:
            found = torch.tensor([accuracy(arm, labels, seed, sizes) for seed in range(sizes.num_seeds)])
            rows.append({"labels": labels, "arm": arm, "accuracy": found.mean().item(), "accuracy sd": found.std().item()})
    of = {(row["labels"], row["arm"]): row["accuracy"] for row in rows}
    few, many = sizes.labels[0], sizes.labels[-1]
    head, whole = "feature_extraction", "full"
    trained = all(of[many, arm] > 0.5 for arm in ARMS)
    holds = of[few, head] >= of[few, whole] and of[many, head] < of[many, whole] if trained else None
    measured = "; ".join(f"{num} labels: " + ", ".join(f"{arm} {of[num, arm]:.3f}" for arm in ARMS) for num in sizes.labels)
    return Claim(CLAIM, measured, holds, list(range(sizes.num_seeds)), rows, _draw(rows, sizes.labels))


def _draw(rows: list[Row], labels: tuple[int, ...]) -> Figure:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for arm in ARMS:
        of_arm = [row for row in rows if row["arm"] == arm]
        means, deviations = ([row[name] for row in of_arm] for name in ("accuracy", "accuracy sd"))
        style = "o--" if arm == SCRATCH else "o-"
        axes.errorbar(labels, means, deviations, fmt=style, capsize=3, label=arm)
    axes.set_xscale("log")
    axes.set_xticks(labels, [str(num) for num in labels])
    axes.minorticks_off()
    axes.set_xlabel("labels of each class")
    axes.set_ylabel("accuracy on test images")
    axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
