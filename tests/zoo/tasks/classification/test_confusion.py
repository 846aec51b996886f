"""A confusion matrix counts the test samples, and its picture shows these counts."""

import csv
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
    truth, predicted = generator.integers(0, 5, (2, 300))
    truth = truth.clip(max=3)  # class 4 is never true, yet has a row
    actual = confusion_matrix(truth, predicted, np.arange(5))
    assert np.array_equal(actual, sklearn_matrix(truth, predicted, labels=range(5)))
    assert actual.sum() == 300
    some = confusion_matrix(truth, predicted, np.array([1, 3]))
    assert np.array_equal(some, actual[[1, 3]][:, [1, 3]])


def test_confusion_figure_shows_counts_and_fractions_of_the_true_class() -> None:
    figure = confusion_figure(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), ("ant", "bee"))
    (axes,) = figure.axes
    assert np.array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])  # a class without samples does not divide by 0
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {((0, 0), "3"), ((1, 0), "1")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ant", "bee"]


def test_with_many_classes_the_picture_stays_small_and_shows_the_most_confused(tmp_path: Path) -> None:
    truth = np.arange(12_000) % 1200
    predicted = np.where(np.isin(truth, [7, 900]), 1199 - truth, truth)  # 7 for 1192, 900 for 299
    figure = confusion_figure(truth, predicted, [f"$class {number}%$" + "x" * 1000 for number in range(1200)])
    (axes,) = figure.axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == 30
    assert max(map(len, shown)) == 24
    assert {f"$class {number}%$" for number in (7, 299, 900, 1192)} <= {name.partition("x")[0] for name in shown}
    assert axes.get_title() == "the 30 of 1,200 classes with the most wrong predictions"
    row, column = (next(i for i, name in enumerate(shown) if name.startswith(f"$class {k}%")) for k in (7, 1192))
    assert axes.images[0].get_array()[row, column] == 1  # all of class 7 is taken for class 1192
    figure.savefig(tmp_path / "a.png", dpi=120)  # names are not read as formulas
    with Image.open(tmp_path / "a.png") as picture:
        assert max(picture.size) < 2500


def test_the_table_has_all_counts(fit: Fit, blobs: Callable[..., DataModule], tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    fit(model, data, callbacks=[ConfusionMatrix(tmp_path)]).test(model, datamodule=data, verbose=False)
    (x, y, _), rows = data.splits["test"]
    counts = sklearn_matrix(y[rows], model(x[rows]).argmax(1), labels=range(3))
    expected = [(data.class_names[t], data.class_names[p], str(n)) for (t, p), n in np.ndenumerate(counts) if n]
    with (tmp_path / "confusion_matrix.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == [("true", "predicted", "count"), *expected]
