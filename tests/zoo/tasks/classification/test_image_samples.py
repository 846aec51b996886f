"""The first validation images are drawn with their predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning import Trainer
from PIL import Image

from datamodules import Digits
from zoo.mlp.mlp import MLPClassifier
from zoo.tasks.classification.image_samples import ImageSamples

Fit = Callable[..., Trainer]


def test_captions_of_wrong_predictions_are_red(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    folder, always_five = tmp_path / "pictures", MLPClassifier((1, 8, 8), 10)
    torch.nn.init.constant_(always_five.net.output.bias[5:6], 1000)
    fit(always_five, digits, callbacks=[ImageSamples(folder, num_images=16)], num_sanity_val_steps=1, limit_train_batches=1)
    with Image.open(folder / "val_samples.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (360, 1280, 3)  # eight columns and two rows, at 100 dots per inch
    cells = [cell for row in np.split(pixels, 2) for cell in np.split(row, 8, axis=1)]
    red = [bool((cell[..., 0] - cell[..., 1] > 80).any()) for cell in cells]
    (_, y, _), rows = digits.splits["val"]
    assert red == (y[rows[:16]] != 5).tolist()
    assert len(set(red)) == 2  # there are fives among them


def test_a_fast_dev_run_writes_nothing(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    fit(MLPClassifier((1, 8, 8), 10), digits, callbacks=[ImageSamples(tmp_path / "pictures")], fast_dev_run=True)
    assert not (tmp_path / "pictures").exists()
