"""Sheets of images: tiles separated by lines, and images with captions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.tasks.drawing import displayable, grid, tiles


def test_tiles_are_arranged_in_rows_separated_by_lines() -> None:
    sheet = tiles(torch.arange(6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 4, 5) / 10)
    assert sheet.shape == (2 * 5 - 1, 3 * 6 - 1, 3)
    assert sheet[0, 0].tolist() == [0, 0, 0]
    assert sheet[0, 5].tolist() == [255, 255, 255]
    assert sheet[-1, -1].tolist() == [128, 128, 128]  # 0.5


def test_images_of_any_range_are_scaled_to_0_1() -> None:
    image = torch.tensor([[[-2.0, 0.0], [2.0, 6.0]]])
    assert np.array_equal(displayable(image), [[0.0, 0.25], [0.5, 1.0]])


def test_channels_come_last_and_are_scaled_together() -> None:
    image = torch.stack([torch.zeros(2, 5), torch.full((2, 5), 5.0), torch.full((2, 5), 10.0)])
    shown = displayable(image)
    assert shown.shape == (2, 5, 3)
    assert np.array_equal(shown[0, 0], [0.0, 0.5, 1.0])


def test_a_constant_image_is_black_and_not_nan() -> None:
    assert np.array_equal(displayable(torch.full((1, 2, 2), 7.0)), np.zeros((2, 2)))


def test_captions_of_wrong_predictions_are_red() -> None:
    images = [np.zeros((4, 4)), np.zeros((4, 4, 3)), *[np.zeros((4, 4))] * 7]
    (axes,) = grid(images, [str(i) for i in range(9)], [i == 1 for i in range(9)]).axes
    assert len(axes.images) == 9
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(9)]
    assert [text.get_color() for text in axes.texts] == ["firebrick" if i == 1 else "black" for i in range(9)]
    assert not axes.axison


def test_images_are_in_rows_of_eight_below_captions_with_their_aspect_ratio() -> None:
    wide = np.zeros((5, 10))
    (axes,) = grid([wide] * 9, ["a"] * 9, [False] * 9).axes
    left, right, bottom, top = axes.images[8].get_extent()
    assert (right - left) == pytest.approx(2 * (bottom - top), rel=1e-12)
    assert left == axes.images[0].get_extent()[0]
    assert bottom > axes.images[0].get_extent()[2]
    assert axes.texts[8].get_position()[1] < top


def test_dollar_signs_in_captions_are_not_formulas() -> None:
    grid([np.zeros((2, 2))], ["$5 of $x^$ (is $_)"], [True]).canvas.draw()  # type: ignore[attr-defined]


def test_captions_are_short_and_no_formulas(tmp_path: Path) -> None:
    figure = grid([np.zeros((4, 4))], ["$5%$" * 100 + " (is $x_{$)"], [False])
    (text,) = figure.axes[0].texts
    assert [len(line) for line in text.get_text().splitlines()] == [28, 10]
    figure.savefig(tmp_path / "a.png")
