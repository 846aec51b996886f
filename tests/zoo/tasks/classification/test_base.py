"""Classifiers use cross-entropy, smoothed in training only, or focal loss, and refuse labels out of range."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor, nn

from datamodules import Digits
from datamodules.core.base import Arrays, DataModule
from datamodules.core.batch import Batch
from zoo.errors import ZooError
from zoo.mlp.mlp import MLPBinaryClassifier, MLPClassifier
from zoo.mlp.perceptron import Perceptron
from zoo.tasks.classification.base import Classifier, balanced_weights
from zoo.training.checkpoint import read_checkpoint
from zoo.training.facts import Facts
from zoo.training.system import System

PROGRESS = torch.zeros(())


class Linear(Classifier):
    """Classifier with a single linear layer."""

    def __init__(self, num_classes: int = 3, label_smoothing: float = 0.0, class_weights: Any = None, loss: Any = None) -> None:
        super().__init__(num_classes, label_smoothing, 0.1, None, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = nn.Linear(5, num_classes)


def batch_of(y: list[int]) -> Batch:
    return Batch(torch.randn(len(y), 5), torch.tensor(y), torch.arange(len(y)))


def smoothed(logits: Tensor, y: Tensor, share: float) -> Tensor:
    """Cross-entropy with the probability `share` of each target spread over all classes (Szegedy et al., 2016)."""
    target = (1 - share) * F.one_hot(y, logits.shape[1]) + share / logits.shape[1]
    return -(target * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_loss_is_smoothed_in_training_and_plain_in_evaluation(share: float) -> None:
    system, batch = Linear(label_smoothing=share), batch_of([0, 2, 1, 1])
    logits = system(batch.x)
    loss, outputs = system.step(batch, PROGRESS)
    torch.testing.assert_close(loss, smoothed(logits, batch.y, share))
    torch.testing.assert_close(loss, F.cross_entropy(logits, batch.y, label_smoothing=share))
    torch.testing.assert_close(outputs["preds"], logits)
    assert torch.equal(outputs["target"], batch.y)
    torch.testing.assert_close(system.eval().step(batch, PROGRESS)[0], smoothed(logits, batch.y, 0.0))


def test_smoothing_penalises_overconfidence() -> None:
    system, sure = Linear(label_smoothing=0.1), torch.tensor([[100.0, 0.0, 0.0]])
    assert system.loss(sure, torch.tensor([0])).item() == pytest.approx(0.1 * 2 / 3 * 100)
    assert system.eval().loss(sure, torch.tensor([0])).item() == pytest.approx(0)


def test_accuracy_is_the_fraction_of_correct_predictions_and_selects_the_checkpoint() -> None:
    system = Linear()
    logits, y = torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 1, 0])
    assert {name: float(value) for name, value in system.metrics["val_metrics"](logits, y).items()} == {"val/acc": 0.5}
    assert (system.monitor, system.headline) == (("val/acc", "max"), "test/acc")


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_batch_start", "on_test_batch_start"])
@pytest.mark.parametrize(("labels", "found"), [([0, 3], r"0\.\.3"), ([-1, 2], r"-1\.\.2")])
def test_labels_out_of_range_are_refused(hook: str, labels: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0\.\.2, found {found}"):
        getattr(Linear(), hook)(batch_of(labels), 0)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_label_smoothing_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"label_smoothing must lie in \[0, 1\), got {share}"):
        Linear(label_smoothing=share)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_classes_are_weighted_in_training_only(share: float) -> None:
    system, batch = Linear(label_smoothing=share, class_weights=[0.5, 3.0, 0.0]), batch_of([0, 2, 1, 1])
    logits, weights = system(batch.x), torch.tensor([0.5, 3.0, 0.0])
    one_hot = (1 - share) * F.one_hot(batch.y, 3) + share / 3
    by_hand = -sum(weights[k] * one_hot[i, k] * logits[i].log_softmax(0)[k] for i in range(4) for k in range(3)) / 4
    torch.testing.assert_close(system.loss(logits, batch.y), by_hand)
    torch.testing.assert_close(system.loss(logits, F.one_hot(batch.y, 3).float()), by_hand)  # soft targets
    torch.testing.assert_close(system.eval().loss(logits, batch.y), F.cross_entropy(logits, batch.y))


def test_a_batch_that_two_processes_share_has_the_mean_of_their_losses() -> None:
    system, batch = Linear(class_weights=[0.2, 1.0, 5.0]), batch_of([0, 0, 1, 2])
    logits = system(batch.x)
    halves = system.loss(logits[:2], batch.y[:2]), system.loss(logits[2:], batch.y[2:])
    torch.testing.assert_close(sum(halves) / 2, system.loss(logits, batch.y))


class Uneven(DataModule):
    """Samples of three classes, 70, 20 and 10 of every 100. All of them train."""

    input_shape, num_classes, class_names = (5,), 3, ("ant", "bee", "cat")

    def __init__(self, size: int = 100) -> None:
        super().__init__(batch_size=20, val_fraction=0.2, seed=0)
        self.size = size

    def load(self, part: Literal["train", "test"]) -> Arrays:
        y = torch.tensor([0] * 7 + [1] * 2 + [2]).repeat(self.size // 10)
        return Arrays(torch.randn(self.size, 5, generator=torch.Generator().manual_seed(0)), y)

    def transform(self, batch: Batch, epoch: int, train: bool) -> Batch:
        return batch


def test_balanced_weights_are_those_of_the_training_split_and_survive_a_resume(
    fit: Callable[..., Trainer], tmp_path: Path
) -> None:
    system = Linear(class_weights="balanced")
    trainer = fit(system, Uneven(), max_epochs=1)
    expected = torch.tensor([80 / (3 * 56), 80 / (3 * 16), 80 / (3 * 8)])
    torch.testing.assert_close(system.class_weights, expected)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint["hyper_parameters"]["class_weights"] == "balanced"
    assert torch.equal(checkpoint["state_dict"]["class_weights"], system.class_weights)

    checkpoint["state_dict"]["class_weights"] *= 2  # to tell them from weights that are computed again
    torch.save(checkpoint, tmp_path / "b.ckpt")
    resumed = Linear(class_weights="balanced")
    fit(resumed, Uneven(), ckpt_path=tmp_path / "b.ckpt", max_epochs=2)
    torch.testing.assert_close(resumed.class_weights, 2 * expected)


def test_without_weights_a_checkpoint_has_none() -> None:
    assert "class_weights" not in Linear().state_dict()


def test_a_loss_with_balanced_weights_counts_every_class_equally() -> None:
    data = Uneven()
    data.setup()
    system, rows = (
        Linear(class_weights=balanced_weights(Facts(class_counts=data.class_counts), 3).tolist()),
        data.splits["train"].rows,
    )
    x, y, _ = data.splits["train"].arrays
    logits = system(x[rows])
    of_classes = [F.cross_entropy(logits[y[rows] == k], y[rows][y[rows] == k]) for k in range(3)]
    torch.testing.assert_close(system.loss(logits, y[rows]), sum(of_classes) / 3)


@pytest.mark.parametrize(
    ("class_weights", "message"),
    [
        ([1.0, 2.0], r"class_weights must be 3 numbers from 0 on, one for each class, got \[1.0, 2.0\]"),
        ([1.0, -1.0, 1.0], "class_weights must be 3 numbers"),
        ([1.0, float("nan"), 1.0], "class_weights must be 3 numbers"),
        ([0.0, 0.0, 0.0], "class_weights must be 3 numbers"),
        ("equal", "class_weights must be \"balanced\" or 3 numbers, got 'equal'"),
    ],
)
def test_other_class_weights_are_refused(class_weights: Any, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        Linear(class_weights=class_weights)


def test_balanced_weights_need_counts_of_every_class() -> None:
    with pytest.raises(ZooError, match="needs data that count the samples of each class"):
        balanced_weights(Facts(), 3)
    counts = Facts(class_names=("ant", "bee"), class_counts=lambda split: torch.tensor([4, 0]))
    with pytest.raises(ZooError, match="bee has none in train"):
        balanced_weights(counts, 2)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_mixed_classes_are_learned_in_proportion_and_have_no_accuracy(share: float) -> None:
    system, batch = Linear(label_smoothing=share), batch_of([0, 2])
    mixed = batch._replace(y=torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.3, 0.7]]))
    loss, outputs = system.step(mixed, PROGRESS)
    target = (1 - share) * mixed.y + share / 3
    torch.testing.assert_close(loss, -(target * system(batch.x).log_softmax(1)).sum(1).mean())
    assert outputs.keys() == {"preds"}
    certain = batch._replace(y=F.one_hot(batch.y, 3).float())
    torch.testing.assert_close(system.step(certain, PROGRESS)[0], system.step(batch, PROGRESS)[0])
    system.check_batch(mixed)
    with pytest.raises(ValueError, match="must be probabilities of 3 classes"):
        system.check_batch(batch._replace(y=batch.y.float()))


@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 1.0]])
def test_the_focal_loss_trains_with_class_weights_as_alpha_and_evaluation_stays_cross_entropy(weights: Any) -> None:
    system, batch = Linear(loss={"name": "focal", "gamma": 1.5}, class_weights=weights), batch_of([0, 2, 1, 1])
    p = system(batch.x).softmax(1)[torch.arange(4), batch.y]
    alpha = 1.0 if weights is None else torch.tensor(weights)[batch.y]
    torch.testing.assert_close(system.step(batch, PROGRESS)[0], (-alpha * (1 - p) ** 1.5 * p.log()).mean())
    torch.testing.assert_close(system.eval().step(batch, PROGRESS)[0], -p.log().mean())


def test_the_focal_loss_refuses_soft_targets() -> None:
    with pytest.raises(ZooError, match=r"focal loss needs one class for each sample, got label_smoothing 0.1: set it to 0"):
        Linear(label_smoothing=0.1, loss={"name": "focal"})
    mixed = batch_of([0, 1])._replace(y=torch.tensor([[0.8, 0.2, 0.0], [0.4, 0.6, 0.0]]))
    with pytest.raises(ZooError, match=r"needs one class for each sample, got .* leave out data\.augment\.mixup"):
        Linear(loss={"name": "focal"}).on_train_batch_start(mixed, 0)
    with pytest.raises(ZooError, match="the perceptron rule is a loss of its own: leave out loss"):
        Perceptron((5,), 3, rule="perceptron", loss={"name": "focal"})


@pytest.mark.parametrize("kind", [Perceptron, MLPBinaryClassifier])
def test_losses_of_hard_labels_refuse_mixed_classes(kind: type[System]) -> None:
    rule = {"rule": "perceptron"} if kind is Perceptron else {}
    system = kind(input_shape=(5,), num_classes=2, **rule)  # type: ignore[call-arg]
    mixed = batch_of([0, 1])._replace(y=torch.tensor([[0.8, 0.2], [0.4, 0.6]]))
    with pytest.raises(ValueError, match=r"needs one class for each sample, got .* leave out data\.augment\.mixup"):
        system.on_train_batch_start(mixed, 0)


def test_fits_mixed_images_and_logs_no_training_accuracy(fit: Callable[..., Trainer]) -> None:
    system = MLPClassifier(input_shape=(1, 8, 8), num_classes=10, hidden_dims=[8], label_smoothing=0.1)
    trainer = fit(system, Digits(batch_size=300, augment={"mixup": 0.2, "cutmix": 1.0}), log_every_n_steps=1)
    assert {"train/loss", "val/acc"} <= trainer.callback_metrics.keys()
    assert "train/acc" not in trainer.callback_metrics
    assert 0 <= trainer.callback_metrics["val/acc"] <= 1
