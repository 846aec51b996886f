"""Scores of reconstructions equal values by hand. They are averages over images, independent of the batches."""

import math

import pytest
import torch
from torchmetrics import MetricCollection

from zoo.metrics.reconstruction import reconstruction


def test_scores_are_averages_over_images() -> None:
    torch.manual_seed(0)
    x = torch.rand(6, 1, 16, 16)
    preds = (x + 0.1 * torch.arange(1, 7).view(-1, 1, 1, 1) * torch.randn_like(x)).clamp(0, 1)
    metrics = MetricCollection(reconstruction())
    for part in (slice(0, 4), slice(4, 6)):
        metrics.update(preds[part], x[part])
    scores = metrics.compute()
    errors = (preds - x).square().flatten(1).mean(1)
    assert scores["mse"].item() == pytest.approx(errors.mean().item(), rel=1e-5)
    assert scores["psnr"].item() == pytest.approx(sum(-10 * math.log10(e) for e in errors.tolist()) / 6, rel=1e-5)
    noisier = MetricCollection(reconstruction())
    noisier.update(preds[4:], x[4:])
    assert 0 < noisier.compute()["ssim"] < scores["ssim"] < 1


def test_a_perfect_copy_has_the_best_scores() -> None:
    x = torch.rand(3, 3, 16, 16)
    metrics = MetricCollection(reconstruction())
    metrics.update(x, x)
    scores = metrics.compute()
    assert scores["mse"] == 0
    assert scores["ssim"].item() == pytest.approx(1)
    assert scores["psnr"] == math.inf
