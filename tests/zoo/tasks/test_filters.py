"""Filters of the first convolution are drawn if they can be shown as images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from torch import nn

from datamodules import Digits
from zoo.tasks.classification.base import Classifier
from zoo.tasks.filters import FirstFilters, filters_figure, first_filters

Fit = Callable[..., Trainer]


class Net(Classifier):
    """Classifier of images (B, 1, 8, 8): the given modules, then a linear layer to ten logits."""

    def __init__(self, *first: nn.Module) -> None:
        super().__init__(10, 0.0, 0.01, None)
        features = nn.Sequential(*first, nn.Flatten())
        self.net = nn.Sequential(features, nn.Linear(features(torch.zeros(2, 1, 8, 8)).shape[1], 10))


NETS: dict[str, tuple[bool, tuple[nn.Module, ...]]] = {
    "grey": (True, (nn.Conv2d(1, 20, 3),)),
    "three channels": (True, (nn.ReplicationPad3d((0, 0, 0, 0, 1, 1)), nn.Conv2d(3, 4, 5))),
    "only the first counts": (True, (nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))),
    "no convolution": (False, ()),
    "a 1x1 kernel": (False, (nn.Conv2d(1, 4, 1),)),
    "a 1x3 kernel": (False, (nn.Conv2d(1, 4, (1, 3)),)),
    "64 channels": (False, (nn.Flatten(), nn.Unflatten(1, (64, 1, 1)), nn.Conv2d(64, 4, 3, padding=1))),
    "only the second could be shown": (False, (nn.Conv2d(1, 3, 1), nn.Conv2d(3, 4, 3))),
}


@pytest.mark.parametrize(("draws", "first"), NETS.values(), ids=NETS.keys())
def test_filters_that_can_be_shown_are_drawn(
    draws: bool, first: tuple[nn.Module, ...], fit: Fit, digits: Digits, tmp_path: Path
) -> None:
    net = Net(*first)
    reports = first_filters(net.net, tmp_path / "pictures")
    assert [type(report) for report in reports] == ([FirstFilters] if draws else [])
    fit(net, digits, callbacks=reports, limit_train_batches=1, limit_val_batches=0)
    assert (tmp_path / "pictures").exists() == draws
    if draws:
        with Image.open(tmp_path / "pictures" / "filters.png") as picture:
            assert picture.size[0] >= 100


def test_filters_that_never_change_are_not_drawn(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    net = Net(nn.Conv2d(1, 4, 3))
    net.net[0].requires_grad_(False)
    fit(net, digits, callbacks=[FirstFilters(tmp_path / "pictures")])
    assert not (tmp_path / "pictures").exists()


def test_a_fast_dev_run_draws_nothing(fit: Fit, digits: Digits, tmp_path: Path) -> None:
    fit(Net(nn.Conv2d(1, 4, 3)), digits, callbacks=[FirstFilters(tmp_path / "pictures")], fast_dev_run=True)
    assert not (tmp_path / "pictures").exists()


def drawn(weight: torch.Tensor, most: int = 64) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in filters_figure(weight, most).axes if axes.images]


def test_filters_with_the_largest_norm_come_first() -> None:
    patterns = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    weight = (patterns * torch.tensor([0.5, 3.0, -2.0]).view(3, 1, 1))[:, None]
    assert [int(abs(image - 0.5).argmax()) for image in drawn(weight)] == [1, 3, 0]
    assert [int(abs(image - 0.5).argmax()) for image in drawn(weight, most=2)] == [1, 3]


def test_zero_is_mid_grey_and_the_largest_weight_is_white_or_black() -> None:
    weight = torch.tensor([[[[0.0, 4.0], [-2.0, 0.0]]], [[[0.0, 0.0], [0.0, -0.1]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert np.allclose(drawn(weight), [[[0.5, 1.0], [0.25, 0.5]], [[0.5, 0.5], [0.5, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])


def test_channels_are_colours_on_one_scale() -> None:
    weight = torch.zeros(1, 3, 2, 2)
    weight[0, :, 0, 1] = torch.tensor([1.0, 0.0, -0.5])  # responds to red, and negatively to blue
    (image,) = drawn(weight)
    assert image.shape == (2, 2, 3)
    assert np.allclose(image[0, 1], [1.0, 0.5, 0.25])
    assert np.allclose(image[1], 0.5)


def test_at_most_64_filters_are_drawn_and_the_last_row_may_have_gaps() -> None:
    weight = torch.randn(100, 3, 3, 3)
    assert len(drawn(weight)) == 64
    figure = filters_figure(weight[:20])
    assert len(figure.axes) == 32
    assert not any(axes.axison for axes in figure.axes)
