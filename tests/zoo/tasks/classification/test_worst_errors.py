"""The drawn errors have the highest loss, compared with brute force over the whole test split."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from PIL import Image
from torch import nn

from datamodules import Digits
from datamodules.core.base import Arrays, DataModule
from zoo.mlp.mlp import MLPClassifier
from zoo.tasks.classification.worst_errors import WorstErrors, worst_errors
from zoo.tasks.drawing import displayable, grid
from zoo.training.quiet import keep_quiet

Fit = Callable[..., Trainer]


class Fives(Digits):
    def load(self, part: Literal["train", "test"]) -> Arrays:
        x, y, _ = super().load(part)
        return Arrays(x[y == 5], y[y == 5])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def run_test(model: MLPClassifier, data: DataModule, callback: WorstErrors) -> Trainer:
    keep_quiet()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=[callback], **quiet)
    trainer.test(model, datamodule=data, verbose=False)
    return trainer


@pytest.mark.parametrize("num_images", [1, 7, 1000], ids=["one", "some", "more than there are"])
def test_errors_with_the_highest_loss_are_drawn_worst_first(fit: Fit, tmp_path: Path, num_images: int) -> None:
    model, data = MLPClassifier((1, 8, 8), 10, hidden_dims=(16,), lr=0.01), Digits(batch_size=50)
    fit(model, data, max_epochs=3)
    worst = WorstErrors(tmp_path / "pictures", num_images)
    trainer = run_test(model, data, worst)
    (x, y, _), rows = data.splits["test"]
    x = (x[rows].float() / 255 - data.mean[0]) / data.std[0]
    with torch.no_grad():
        probability = model(x).softmax(1)
    errors = [
        (-float(F.nll_loss(p.log()[None], truth[None])), place)
        for place, (p, truth) in enumerate(zip(probability, y[rows], strict=True))
        if p.argmax() != truth
    ]
    errors = sorted((loss, place) for loss, place in errors)[:num_images]
    assert 7 < len(errors) < 100 if num_images == 1000 else len(errors) == num_images
    captions = []
    for _, place in errors:
        p = probability[place]
        captions.append(f"{int(p.argmax())} {float(p.max()):.0%} (is {int(y[rows][place])})")
    images = [displayable(x[place]) for _, place in errors]
    grid(images, captions, [True] * len(errors)).savefig(tmp_path / "expected.png")
    expected = pixels(tmp_path / "expected.png")
    assert np.abs(pixels(tmp_path / "pictures" / "worst_errors.png") - expected).max() <= 2  # rounding of grey levels
    trainer.test(model, datamodule=data, verbose=False)  # errors of the first test are discarded
    assert np.abs(pixels(tmp_path / "pictures" / "worst_errors.png") - expected).max() <= 2


def test_without_errors_no_picture_is_drawn(tmp_path: Path) -> None:
    always_five = MLPClassifier((1, 8, 8), 10)
    nn.init.constant_(always_five.net.output.bias[5:6], 1000)
    run_test(always_five, Fives(batch_size=20), WorstErrors(tmp_path / "right"))
    assert not (tmp_path / "right").exists()
    nn.init.constant_(always_five.net.output.bias[4:5], 2000)
    run_test(always_five, Fives(batch_size=20), WorstErrors(tmp_path / "wrong"))
    assert (tmp_path / "wrong" / "worst_errors.png").exists()


def test_a_fast_dev_run_draws_nothing(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    model = MLPClassifier((1, 8, 8), 10)
    trainer = fit(model, digits, callbacks=[WorstErrors(tmp_path / "pictures")], fast_dev_run=True)
    trainer.test(model, datamodule=digits, verbose=False)
    assert not (tmp_path / "pictures").exists()


class Named(Digits):
    """Digits that seem to be read from files."""

    class Files:
        def name(self, position: int) -> str:
            return f"/photos/of digits/{position}.jpg"

    files = Files()  # type: ignore[assignment]  # not encoded images


def test_errors_are_captioned_with_their_files(tmp_path: Path) -> None:
    model, data = MLPClassifier((1, 8, 8), 10), Named(batch_size=400)
    run_test(model, data, WorstErrors(tmp_path, num_images=4))
    (batch,) = (data.transform(batch, 0, False) for batch in data.test_dataloader())
    logits = model(batch.x).detach()
    images, captions = [], []
    for row, _ in worst_errors(logits, batch.y, 4):
        confidence, predicted = logits[row].softmax(0).max(0)
        images.append(displayable(batch.x[row]))
        captions.append(f"{int(predicted)} {float(confidence):.0%} (is {int(batch.y[row])})\n{int(batch.position[row])}.jpg")
    grid(images, captions, [True] * 4).savefig(tmp_path / "expected.png")
    found, expected = (pixels(tmp_path / f"{name}.png") for name in ("worst_errors", "expected"))
    assert found.shape == (196, 640, 3)  # three lines of captions
    assert np.abs(found - expected).max() <= 2
