"""Metrics of classification and regression against hand-computed values."""

import math

import pytest
import torch
from sklearn.metrics import f1_score, r2_score
from torchmetrics import MetricCollection

from zoo.metrics.tasks import SecondClassF1, binary_classification, classification, regression


def test_accuracy_counts_samples_not_classes() -> None:
    # nine samples of class 0, all correct; one of class 1, wrong: micro 0.9, macro (1 + 0) / 2
    logits = torch.tensor([[2.0, -1.0]] * 10)
    accuracy = classification(2)["acc"](logits, torch.tensor([0] * 9 + [1]))
    assert float(accuracy) == pytest.approx(0.9)


def test_accuracy_over_uneven_batches_is_that_of_all_samples() -> None:
    logits, y = torch.randn(25, 4), torch.arange(25) % 4
    accuracy = classification(4)["acc"]
    for part in (slice(0, 16), slice(16, 25)):
        accuracy.update(logits[part], y[part])
    assert float(accuracy.compute()) == pytest.approx((logits.argmax(1) == y).float().mean().item())


def test_binary_metrics_by_hand() -> None:
    p, y = torch.tensor([0.9, 0.6, 0.4, 0.2, 0.7]), torch.tensor([1, 0, 1, 0, 1])
    scores = MetricCollection(binary_classification())(p, y)
    assert float(scores["acc"]) == pytest.approx(3 / 5)  # the second and the third are wrong
    assert float(scores["f1"]) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))  # 2 tp / (2 tp + fp + fn)


def test_regression_by_hand_in_the_targets_units() -> None:
    y = torch.tensor([[100.0], [200.0], [300.0]])
    scores = MetricCollection(regression())(y + torch.tensor([[10.0], [-10.0], [20.0]]), y)
    assert float(scores["rmse"]) == pytest.approx(math.sqrt(600 / 3))
    assert float(scores["r2"]) == pytest.approx(1 - 600 / 20_000)


def test_predicting_the_mean_explains_nothing() -> None:
    y = torch.randn(50, 1)
    assert float(regression()["r2"](y.mean().expand(50, 1), y)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("offset", "scale"), [(1e5, 5), (0, 1), (0, 1e-4), (1.7e6, 20)])
def test_r2_is_exact_wherever_the_targets_lie(offset: float, scale: float) -> None:
    """torchmetrics' score is 1.03 for the first and 1.0 for the third."""
    a = torch.randn(309, 2)
    y, preds = offset + scale * (a + torch.randn(309, 2)), offset + scale * a
    r2 = regression()["r2"]
    for part in torch.arange(309).split(32):  # the last batch is smaller
        r2.update(preds[part], y[part])
    assert float(r2.compute()) == pytest.approx(r2_score(y.double(), preds.double()), abs=1e-6)


def test_r2_of_degenerate_targets() -> None:
    one, constant = torch.tensor([[0.1]]), torch.full((3, 1), 0.1)
    assert math.isnan(regression()["r2"](one, one))  # a single sample has no variance
    assert float(regression()["r2"](constant, constant)) == 1
    assert float(regression()["r2"](constant + 1, constant)) == 0


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_f1_is_that_of_the_second_class_over_all_batches(share: float) -> None:
    logits, y = torch.randn(403, 2), (torch.rand(403) < share).long()
    f1 = classification(2)["f1"]
    for part in torch.arange(403).split(50):
        f1.update(logits[part], y[part])
    expected = f1_score(y, logits.argmax(1), pos_label=1)
    assert float(f1.compute()) == pytest.approx(expected)
    assert expected != pytest.approx(f1_score(y, logits.argmax(1), pos_label=0), abs=0.01)


def test_f1_by_hand() -> None:
    """This includes logits that all lie in [0, 1], which torchmetrics treats as probabilities of one class."""
    logits = torch.tensor([[0.1, 0.2], [0.9, 0.8], [0.3, 0.4], [0.6, 0.55]])  # says 1, 0, 1, 0
    f1 = SecondClassF1()
    assert float(f1(logits, torch.tensor([1, 1, 0, 0]))) == pytest.approx(2 / (2 + 1 + 1))  # 2 tp / (2 tp + fp + fn)
    f1.reset()
    assert float(f1(logits, torch.tensor([1, 0, 1, 0]))) == 1


def test_f1_of_a_class_that_never_comes_up_is_zero() -> None:
    assert float(SecondClassF1()(torch.tensor([[1.0, 0.0]] * 3), torch.tensor([0, 0, 0]))) == 0


@pytest.mark.parametrize(("num_classes", "names"), [(2, {"acc", "f1"}), (3, {"acc"}), (10, {"acc"}), (1, {"acc"})])
def test_f1_is_for_two_classes_only(num_classes: int, names: set[str]) -> None:
    assert classification(num_classes).keys() == names
