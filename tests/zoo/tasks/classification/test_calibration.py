"""The calibration of all test samples is logged and drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from PIL import Image

from datamodules import Tabular
from datamodules.core.base import DataModule
from zoo.metrics.calibration import calibration_bins, expected_calibration_error
from zoo.mlp.mlp import MLPBinaryClassifier, MLPClassifier
from zoo.tasks.classification.calibration import Calibration, reliability_figure

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def test_the_error_of_all_test_samples_is_logged(scores: Callable[..., dict[str, Any]], blobs: Blobs, tmp_path: Path) -> None:
    cases: list[tuple[LightningModule, DataModule]] = [
        (MLPClassifier((4,), 3), blobs()),
        (MLPBinaryClassifier((30,), 2, hidden_dims=(8,)), Tabular("breast_cancer")),
    ]
    for model, data in cases:
        folder = tmp_path / type(model).__name__
        found = scores(model, data, Calibration(folder), max_epochs=1)
        batches = [data.transform(batch, 0, False) for batch in data.test_dataloader()]
        output, y = torch.cat([model(batch.x) for batch in batches]), torch.cat([batch.y for batch in batches])
        p = output.softmax(1) if output.ndim == 2 else torch.stack([1 - output, output], 1)
        confidence, predicted = p.max(1)
        expected = expected_calibration_error(calibration_bins(confidence, predicted == y))
        assert found["test/ece"] == pytest.approx(expected, abs=1e-6)
        assert expected > 0.01
        with Image.open(folder / "reliability.png") as picture:
            assert picture.size[0] > 100


def test_the_picture_shows_accuracy_and_number_of_samples_by_confidence() -> None:
    bins = calibration_bins(torch.tensor([0.35, 0.35, 0.9, 1.0]), torch.tensor([True, False, True, True]))
    upper, lower = reliability_figure(bins).axes
    heights = {round(bar.get_x() + bar.get_width() / 2, 4): bar.get_height() for bar in upper.patches}
    assert heights == {round(5.5 / 15, 4): 0.5, round(13.5 / 15, 4): 1.0, round(14.5 / 15, 4): 1.0}
    assert [bar.get_height() for bar in lower.patches] == [2, 1, 1]
    assert upper.get_title() == "expected calibration error 0.1000"  # half of 0.15, and a quarter of 0.1


def test_a_fast_dev_run_draws_nothing(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    trainer = fit(model := MLPClassifier((4,), 3), data := blobs(), callbacks=[Calibration(tmp_path)], fast_dev_run=True)
    (found,) = trainer.test(model, datamodule=data, verbose=False)
    assert "test/ece" in found
    assert not list(tmp_path.iterdir())
