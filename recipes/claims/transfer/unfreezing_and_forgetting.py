"""Does gradual unfreezing keep a network from forgetting what it knew? (Howard & Ruder, 2018; French, 1999).

python recipes/claims/transfer/unfreezing_and_forgetting.py [--full]     a minute on one CPU core; --full about five

A ResNet-20 that knows Fashion-MNIST learns handwritten digits. Then its old last layer is put back, and it classifies clothes
again: the accuracy that is left says how much it has forgotten. The arms fine-tune all layers at one learning rate, with lower
rates for deeper layers, and the same with gradual unfreezing, each with the same number of epochs. The control trains only the
new last layer, so it forgets nothing.

Full measurements use MNIST and the test images of Fashion-MNIST. Fast ones use Digits and noise, for which agreement with the
network before training takes the place of accuracy; they need no download. The weights come with the zoo.
"""

import sys
from typing import NamedTuple

import torch
from lightning import seed_everything
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from datamodules import MNIST, Digits, FashionMNIST
from zoo import TransferClassifier
from zoo.cli.claims import Claim, Row, bare_trainer, judge, main
from zoo.transfer.strategies import Strategy

CLAIM = "Gradual unfreezing forgets less of the old task than training all layers at one rate, and learns the new one as well."
BACKBONE = {"class_path": "zoo.CIFARResNetClassifier", "init_args": {"depth": 20}}
NUM_DIGITS = 1438  # training images of Digits; validation holds out those that do not train
WEIGHTS = "resnet20_fashion_mnist"  # published weights of this network
AS_WELL = 0.01  # accuracy on the new task that may be lost
CONTROL = "head only"
ARMS: dict[str, tuple[Strategy, float | None]] = {  # strategy, lr_decay
    "one rate": ("full", 1.0),
    "discriminative": ("discriminative", None),
    "gradual": ("gradual", None),
    CONTROL: ("feature_extraction", 1.0),
}


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    num_epochs: int
    num_train: int
    num_test: int
    digits: bool


FAST = Sizes(num_seeds=2, num_epochs=8, num_train=200, num_test=200, digits=True)
FULL = Sizes(num_seeds=3, num_epochs=8, num_train=500, num_test=2000, digits=False)
SMALLEST = FAST._replace(num_seeds=2, num_epochs=8, num_train=50, num_test=50)
CONTROLS = {"arm": ["head only"]}


def old_task(sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Return inputs of the old task (N, 1, 28, 28), as the source was trained on, and their classes (N,)."""
    if sizes.digits:
        x = torch.randn(sizes.num_test, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return x, zoo.load(WEIGHTS)(x).argmax(1)
    data = FashionMNIST(batch_size=sizes.num_test)
    data.setup()
    batch = data.transform(next(iter(data.loader("test"))), 0, False)
    return batch.x, batch.y


def accuracies(arm: str, seed: int, sizes: Sizes, old: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Train on the new task; return the accuracy on the new task and on the old one."""
    seed_everything(seed, verbose=False)
    arguments = {"batch_size": 50, "seed": seed, "split_seed": seed}
    digits, few = sizes.digits, {"val_fraction": 1 - sizes.num_train / NUM_DIGITS}
    data: Digits | MNIST = Digits(**arguments, **few) if digits else MNIST(**arguments, num_train=sizes.num_train)
    strategy, lr_decay = ARMS[arm]
    system = TransferClassifier(
        data.input_shape,
        10,
        backbone=BACKBONE,
        weights=WEIGHTS,
        strategy=strategy,
        lr_decay=lr_decay,
        unfreeze_every=sizes.num_epochs // 8,  # all layers train in the second half
        lr=5e-3,
        optim={"name": "adamw", "weight_decay": 0.01, "schedule": "cosine"},
    )
    trainer = bare_trainer(max_epochs=sizes.num_epochs, limit_test_batches=sizes.num_test // 50)
    trainer.fit(system, datamodule=data)
    new = float(trainer.test(system, datamodule=data, verbose=False)[0]["test/acc"])
    source = zoo.load(WEIGHTS)  # for 28x28 images, with its last layer
    source.net.load_state_dict(system.net.backbone.state_dict(), strict=False)
    with torch.no_grad():
        predicted = torch.cat([source(x).argmax(1) for x in old[0].split(500)])
    return new, (predicted == old[1]).float().mean().item()


def measure(full: bool) -> Claim:
    """Measure all arms. The claim holds if it holds for the means over seeds."""
    sizes = FULL if full else FAST
    old = old_task(sizes)
    rows: list[Row] = []
    for arm in ARMS:
        found = torch.tensor([accuracies(arm, seed, sizes, old) for seed in range(sizes.num_seeds)])
        (new, kept), (new_sd, kept_sd) = found.mean(0).tolist(), found.std(0).tolist()
        rows.append({"arm": arm, "new task": new, "new task sd": new_sd, "old task": kept, "old task sd": kept_sd})
    of = {row["arm"]: row for row in rows}
    one, gradual = of["one rate"], of["gradual"]
    trained = all(of[arm]["new task"] > 0.5 for arm in ("one rate", "gradual"))
    holds = gradual["old task"] > one["old task"] and gradual["new task"] >= one["new task"] - AS_WELL
    measured = "accuracy on the new and the old task: " + ", ".join(
        f"{row['arm']} {row['new task']:.3f}, {row['old task']:.3f}" for row in rows
    )
    return Claim(CLAIM, measured, judge(holds, trained=trained), list(range(sizes.num_seeds)), rows, _draw(rows))


def _draw(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        axes.errorbar(
            row["new task"], row["old task"], row["old task sd"], row["new task sd"], fmt="o", capsize=3, label=row["arm"]
        )
    axes.set_xlabel("accuracy on the new task")
    axes.set_ylabel("accuracy on the old task")
    axes.legend(fontsize=9)
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
