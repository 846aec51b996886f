"""The same few images at every validation, each with what the model said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning import Trainer
from PIL import Image

from datamodules import Digits
from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPClassifier
from zoo.tasks.classification.image_samples import ImageSamples, displayable, grid

Fit = Callable[..., Trainer]


def test_any_range_is_stretched_to_what_can_be_shown() -> None:
    image = torch.tensor([[[-2.0, 0.0], [2.0, 6.0]]])
    assert np.array_equal(displayable(image), [[0.0, 0.25], [0.5, 1.0]])


def test_channels_come_last_and_share_one_scale() -> None:
    image = torch.stack([torch.zeros(2, 5), torch.full((2, 5), 5.0), torch.full((2, 5), 10.0)])
    shown = displayable(image)
    assert shown.shape == (2, 5, 3)
    assert np.array_equal(shown[0, 0], [0.0, 0.5, 1.0])


def test_an_image_of_one_value_is_black_and_not_nan() -> None:
    assert np.array_equal(displayable(torch.full((1, 2, 2), 7.0)), np.zeros((2, 2)))


def test_captions_of_wrong_answers_are_red() -> None:
    images = [np.zeros((4, 4)), np.zeros((4, 4, 3)), *[np.zeros((4, 4))] * 7]
    figure = grid(images, [str(i) for i in range(9)], [i == 1 for i in range(9)])
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [str(i) for i in range(9)]
    assert [axes.title.get_color() for axes in shown] == ["firebrick" if i == 1 else "black" for i in range(9)]
    assert not any(axes.axison for axes in figure.axes)  # of the second row's seven empty places neither


def test_a_fit_leaves_a_picture_that_marks_what_is_wrong(fit: Fit, digits: Digits, tmp_path: Path) -> None:
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


def test_a_table_has_no_picture(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> None:
    fit(MLPClassifier((4,), 3), blobs(), callbacks=[ImageSamples(tmp_path / "pictures")])
    assert not (tmp_path / "pictures").exists()


def test_a_trial_run_writes_nothing(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    fit(MLPClassifier((1, 8, 8), 10), digits, callbacks=[ImageSamples(tmp_path / "pictures")], fast_dev_run=True)
    assert not (tmp_path / "pictures").exists()
