"""A confusion matrix counts the test samples, and its picture shows these counts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from lightning import LightningModule, Trainer
from PIL import Image
from sklearn.metrics import confusion_matrix as sklearn_matrix

from datamodules import Tabular
from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPBinaryClassifier, MLPClassifier
from zoo.tasks.classification.confusion import ConfusionMatrix, confusion_figure, confusion_matrix

Fit = Callable[..., Trainer]


def test_the_matrix_is_drawn_after_test(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> None:
    cases: list[tuple[LightningModule, DataModule]] = [
        (MLPClassifier((4,), 3), blobs()),
        (MLPBinaryClassifier((30,), 2, hidden_dims=(8,)), Tabular("breast_cancer")),
    ]
    for model, data in cases:
        folder = tmp_path / type(model).__name__
        trainer = fit(model, data, callbacks=[ConfusionMatrix(folder)])
        assert not folder.exists()
        trainer.test(model, datamodule=data, verbose=False)
        with Image.open(folder / "confusion_matrix.png") as picture:
            assert picture.size[0] > 100


def test_a_fast_dev_run_draws_nothing(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    fit(model, data, callbacks=[ConfusionMatrix(tmp_path)], fast_dev_run=True).test(model, datamodule=data, verbose=False)
    assert not list(tmp_path.iterdir())


def test_confusion_matrix_equals_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 5, (2, 300)).tolist()
    truth = [min(t, 3) for t in truth]  # class 4 is never true, yet has a row
    actual = confusion_matrix(truth, predicted, 5)
    assert np.array_equal(actual, sklearn_matrix(truth, predicted, labels=range(5)))
    assert actual.sum() == 300


def test_confusion_figure_shows_counts_and_fractions_of_the_true_class() -> None:
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ("ant", "bee"))
    (axes,) = figure.axes
    assert np.array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])  # a class without samples does not divide by 0
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "3"), ((1, 0), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee"]
