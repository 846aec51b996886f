"""What all embedding systems do: scores of whole splits, embeddings as predictions, and batches that are refused."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from datamodules import Digits
from datamodules.core.batch import Batch
from zoo.metric.contrastive import ContrastiveEmbedder
from zoo.metric.triplet import TripletEmbedder
from zoo.metrics.retrieval import knn_accuracy, map_at_r, recall_at_1
from zoo.training.predictions import Predictions

SMALL: dict[str, Any] = {"input_shape": (1, 8, 8), "embedding_dim": 3, "widths": (4, 8)}
SYSTEMS = [TripletEmbedder, ContrastiveEmbedder]


def whole(data: Digits, split: str, model: Any) -> tuple[Tensor, Tensor]:
    """Embed a split in one batch."""
    arrays, rows = data.splits[split]
    batch = data.transform(Batch(arrays.x[rows], arrays.y[rows], rows), 0, False)
    return model.eval()(batch.x).detach(), batch.y


@pytest.mark.parametrize("kind", SYSTEMS)
def test_the_scores_are_those_of_the_whole_split(kind: Any, fit: Callable[..., Trainer]) -> None:
    data, model = Digits(batch_size=70, classes_per_batch=4, samples_per_class=4, seed=0), kind(**SMALL)
    trainer = fit(model, data, max_epochs=1)
    z, y = whole(data, "val", model)
    assert trainer.callback_metrics["val/recall@1"].item() == pytest.approx(recall_at_1(z, y).item(), abs=1e-6)
    (scores,) = trainer.test(model, datamodule=data, verbose=False)
    z, y = whole(data, "test", model)
    for name, score in (("recall@1", recall_at_1), ("map@r", map_at_r), ("knn_acc", knn_accuracy)):
        assert scores[f"test/{name}"] == pytest.approx(score(z, y).item(), abs=1e-6)


def test_predictions_are_embeddings(fit: Callable[..., Trainer], tmp_path: Path) -> None:
    data, model = Digits(batch_size=70, classes_per_batch=4, samples_per_class=4), TripletEmbedder(**SMALL)
    trainer = fit(model, data, max_epochs=1, limit_train_batches=2, callbacks=[Predictions(tmp_path)])
    trainer.test(model, datamodule=data, verbose=False)
    assert not (tmp_path / "predictions").exists()  # embeddings are no scores of classes
    trainer.predict(model, datamodule=data, return_predictions=False)
    with (tmp_path / "predictions" / "predict.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["position", "target", "embedding_0", "embedding_1", "embedding_2"]
    z, y = whole(data, "test", model)
    assert [int(row["target"]) for row in rows] == y.tolist()
    torch.testing.assert_close(torch.tensor([[float(row[f"embedding_{i}"]) for i in range(3)] for row in rows]), z)


@pytest.mark.parametrize("kind", SYSTEMS)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            torch.arange(6),
            "a training batch has one sample of each of 6 classes, so no two are of one class: compose batches by",
        ),
        (torch.zeros(6, dtype=torch.long), "a training batch has 6 samples of one class, so no two are of different ones"),
        (torch.full((6, 3), 1 / 3), r"one class for each sample, got targets of shape \(6, 3\): leave out data.augment.mixup"),
    ],
    ids=["no positives", "no negatives", "mixed"],
)
def test_training_batches_without_pairs_are_refused(kind: Any, y: Tensor, message: str) -> None:
    model, batch = kind(**SMALL), Batch(torch.zeros(6, 1, 8, 8), y, torch.arange(6))
    with pytest.raises(ValueError, match=message):
        model.check_batch(batch)
    if not y.is_floating_point():
        model.eval().check_batch(batch)  # in evaluation, the split counts and not the batch


def test_ordinary_batches_are_refused_where_they_have_no_pairs(fit: Callable[..., Trainer]) -> None:
    with pytest.raises(ValueError, match=r"--data.classes_per_batch 16 --data.samples_per_class 4"):
        fit(TripletEmbedder(**SMALL), Digits(batch_size=2, seed=4), limit_train_batches=1)


def test_mixed_images_are_refused(fit: Callable[..., Trainer]) -> None:
    data = Digits(classes_per_batch=4, samples_per_class=4, augment={"mixup": 0.2})
    with pytest.raises(ValueError, match=r"leave out data\.augment.mixup"):
        fit(TripletEmbedder(**SMALL), data)
