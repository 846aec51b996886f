"""Scores of each class equal scikit-learn's on all test samples."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer
from sklearn.metrics import precision_recall_fscore_support

from datamodules import Tabular
from datamodules.core.base import DataModule
from zoo.mlp.mlp import MLPBinaryClassifier, MLPClassifier
from zoo.rnn.rnn import RNNClassifier
from zoo.tasks.classification.per_class import PerClass, per_class

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def read(path: Path) -> list[list[Any]]:
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header == ["class", "precision", "recall", "f1", "support"]
    return [[name, *(float(score) if score else None for score in scores)] for name, *scores in rows]


def expected_scores(truth: Any, predicted: Any, names: tuple[str, ...]) -> list[list[Any]]:
    scores = precision_recall_fscore_support(truth, predicted, labels=range(len(names)), zero_division=np.nan)
    rows = [[name, *(round(float(score[k]), 4) for score in scores)] for k, name in enumerate(names)]
    return [[None if value != value else value for value in row] for row in rows]  # only NaN differs from itself


def test_scores_by_hand() -> None:
    truth, predicted = np.array([[0, 0], [0, 0], [0, 0], [0, 1], [1, 0], [1, 0]]).T  # class 1 is never right, 2 never there
    assert per_class(truth, predicted, 3) == [(0.6, 0.75, 0.6667, 4), (0.0, 0.0, 0.0, 2), (None, None, None, 0)]
    truth, predicted = np.array([[0, 0], [1, 0], [1, 2]]).T  # class 1 is never predicted, 2 never there
    assert per_class(truth, predicted, 3) == [(0.5, 1.0, 0.6667, 1), (None, 0.0, 0.0, 2), (0.0, None, 0.0, 0)]


def test_scores_equal_scikit_learns() -> None:
    truth, predicted = np.random.default_rng(0).integers(0, 7, (2, 300))
    truth = truth.clip(max=5)  # class 6 is never true
    predicted = predicted.clip(min=1)  # class 0 never predicted
    ours = per_class(truth, predicted, 7)
    assert [["", *row] for row in ours] == expected_scores(truth, predicted, ("",) * 7)


def test_the_largest_logit_decides(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    trainer = fit(model, data, callbacks=[PerClass(tmp_path)])
    assert not list(tmp_path.iterdir())  # training and validation write nothing
    for _ in range(2):  # a second test starts from scratch
        trainer.test(model, datamodule=data, verbose=False)
        (x, y, _), rows = data.splits["test"]
        assert read(tmp_path / "per_class.csv") == expected_scores(y[rows], model(x[rows]).argmax(1), data.class_names)


def test_probabilities_are_thresholded_at_a_half(fit: Fit, tmp_path: Path) -> None:
    model, data = MLPBinaryClassifier((30,), 2, hidden_dims=(8,)), Tabular("breast_cancer")
    trainer = fit(model, data, callbacks=[PerClass(tmp_path)])
    trainer.test(model, datamodule=data, verbose=False)
    batches = [data.transform(batch, 0, False) for batch in data.test_dataloader()]
    probability = torch.cat([model(batch.x) for batch in batches])
    assert 0.3 < (probability > 0.5).float().mean() < 0.9
    expected = expected_scores(torch.cat([batch.y for batch in batches]), probability > 0.5, data.class_names)
    assert read(tmp_path / "per_class.csv") == expected


def test_images_and_texts_have_scores_per_class(
    fit: Fit, digits: DataModule, texts: Callable[..., Any], tmp_path: Path
) -> None:
    model = MLPClassifier((1, 8, 8), 10)
    fit(model, digits, callbacks=[PerClass(tmp_path / "pictures")]).test(model, datamodule=digits, verbose=False)
    assert [(row[0], row[-1]) for row in read(tmp_path / "pictures" / "per_class.csv")] == [
        (str(k), (digits.splits["test"].arrays.y[digits.splits["test"].rows] == k).sum()) for k in range(10)
    ]
    reader, data = RNNClassifier((30,), 2, vocab_size=texts.vocab_size, embed_dim=8, hidden_dim=8), texts()
    fit(reader, data, callbacks=[PerClass(tmp_path / "texts")]).test(reader, datamodule=data, verbose=False)
    x, lengths, y, _ = data.split("test")
    expected = expected_scores(y, reader(x, lengths).argmax(1), data.class_names)
    assert read(tmp_path / "texts" / "per_class.csv") == expected


def test_undefined_scores_are_empty_cells(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    trainer = fit(model, data, callbacks=[PerClass(tmp_path)])
    for parameter in model.net.parameters():
        torch.nn.init.zeros_(parameter)  # all logits are equal, so that class 0 is always predicted
    trainer.test(model, datamodule=data, verbose=False)
    rows = (tmp_path / "per_class.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] == "" for row in rows] == [False, True, True]  # precision
    assert "" not in [row.split(",")[2] for row in rows]  # recall


def test_a_fast_dev_run_writes_nothing(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    trainer = fit(model := MLPClassifier((4,), 3), data := blobs(), callbacks=[PerClass(tmp_path)], fast_dev_run=True)
    trainer.test(model, datamodule=data, verbose=False)
    assert not list(tmp_path.iterdir())
