from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lightning import Trainer

from datamodules import Digits
from zoo import TransferClassifier
from zoo.transfer.layer_rates import LayerRates, rates_figure
from zoo.transfer.strategies import Choice

SOURCE = {"class_path": "zoo.MLPClassifier", "init_args": {"hidden_dims": [4, 4], "norm": "none"}}


def test_the_table_holds_the_rate_of_each_group_in_each_epoch(
    fit: Callable[..., Trainer], digits: Digits, tmp_path: Path
) -> None:
    system = TransferClassifier(
        (1, 8, 8),
        10,
        backbone=SOURCE,
        weights=None,
        strategy="gradual",
        lr_decay=0.5,
        lr=0.1,
        optim={"schedule": "constant"},
    )
    fit(system, digits, max_epochs=3, callbacks=[LayerRates(tmp_path, system.groups)])
    header, *rows = [line.split(",") for line in (tmp_path / "layer_rates.csv").read_text().splitlines()]
    assert header == ["epoch", "layers", "lr"]
    names = [group.name for group in system.groups]
    assert [row[1] for row in rows] == names * 3
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] * 3 + ["3"] * 3  # as the lines of progress count
    rates = np.array([float(row[2]) for row in rows]).reshape(3, len(names))
    expected = [[0.0, 0.0, 0.1], [0.0, 0.05, 0.1], [0.025, 0.05, 0.1]]
    assert rates == pytest.approx(np.array(expected))
    assert (tmp_path / "layer_rates.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("strategy", "epochs", "drawn"), [("feature_extraction", 2, False), ("gradual", 1, False), ("full", 1, True)]
)
def test_a_picture_needs_two_groups_that_train(
    fit: Callable[..., Trainer], digits: Digits, tmp_path: Path, strategy: Choice, epochs: int, drawn: bool
) -> None:
    system = TransferClassifier((1, 8, 8), 10, backbone=SOURCE, weights=None, strategy=strategy)
    fit(system, digits, max_epochs=epochs, callbacks=[LayerRates(tmp_path, system.groups)])
    assert (tmp_path / "layer_rates.csv").exists()
    assert (tmp_path / "layer_rates.png").exists() == drawn


def test_the_axis_shows_the_epochs_of_the_table() -> None:
    figure = rates_figure(np.full((2, 4), 1e-3), ["conv", "head"], first_epoch=3)
    assert figure.axes[0].get_xlim() == (2.5, 6.5)  # the cells of epochs 3 to 6
    assert figure.axes[0].get_ylim() == (-0.5, 1.5)


def test_frozen_groups_stay_white() -> None:
    figure = rates_figure(np.array([[0.0, 1e-3], [1e-2, 1e-3]]), ["conv", "head"])
    (image,) = figure.axes[0].images
    assert image.get_array().mask.tolist() == [[True, False], [False, False]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["conv", "head"]
