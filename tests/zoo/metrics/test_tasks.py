"""Metrics by hand."""

import math

import pytest
import torch
from torchmetrics import MetricCollection

from zoo.metrics.tasks import binary_classification, classification, regression


def test_accuracy_counts_samples_not_classes() -> None:
    # nine of class 0, all right; one of class 1, wrong: micro 0.9, macro (1 + 0) / 2
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
