"""The table of predictions holds the model's prediction for each sample."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from PIL import Image
from pyarrow.parquet import read_table
from torch.utils.data import DataLoader

from datamodules import ImageFolder, Tabular
from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.cnn.simple_cnn import SimpleCNNClassifier
from zoo.mlp.mlp import MLPClassifier, MLPRegressor
from zoo.training.predictions import Predictions, probabilities_of, table

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_classes_are_named_with_the_probability_of_the_prediction() -> None:
    logits = torch.tensor([[0.0, 0.0, 3.0], [1.0, 0.0, 0.0]])
    columns = {"position": torch.tensor([4, 7]), "target": torch.tensor([2, 1]), "preds": logits}
    header, rows = table(columns, ("ant", "bee", "cat"))
    assert header == ["position", "target", "prediction", "confidence"]
    e = float(np.e)
    assert rows == [[4, "cat", "cat", round(e**3 / (e**3 + 2), 4)], [7, "bee", "ant", round(e / (e + 2), 4)]]


def test_binary_probabilities_are_thresholded_at_a_half() -> None:
    columns = {"position": torch.tensor([0, 1]), "preds": torch.tensor([0.9, 0.2])}
    header, rows = table(columns, ("no", "yes"))
    assert header == ["position", "prediction", "confidence"]
    assert rows == [[0, "yes", 0.9], [1, "no", 0.8]]


def test_regression_has_a_column_for_each_target() -> None:
    columns = {"position": torch.tensor([3]), "target": torch.tensor([[1.0, 2.0]]), "preds": torch.tensor([[1.5, 2.5]])}
    assert table(columns, ()) == (
        ["position", "target_0", "target_1", "prediction_0", "prediction_1"],
        [[3, 1.0, 2.0, 1.5, 2.5]],
    )
    single = {name: value[..., :1] if value.ndim > 1 else value for name, value in columns.items()}
    assert table(single, ()) == (["position", "target", "prediction"], [[3, 1.0, 1.5]])


def test_half_precision_predictions_are_written() -> None:
    preds = torch.tensor([[0.0, 9.0]], dtype=torch.bfloat16)
    _, rows = table({"position": torch.tensor([0]), "preds": preds}, ("a", "b"))
    assert rows == [[0, "b", pytest.approx(0.9999)]]


def test_every_test_sample_is_listed_by_position(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    trainer = fit(model, data, callbacks=[Predictions(tmp_path)])
    assert not (tmp_path / "predictions").exists()  # only test and predict write
    (scores,) = trainer.test(model, datamodule=data, verbose=False)
    trainer.predict(model, datamodule=data, return_predictions=False)
    (x, y, _), rows = data.splits["test"]
    p = model(x[rows]).softmax(1)
    tested = read(tmp_path / "predictions" / "test.csv")
    assert [int(row["position"]) for row in tested] == sorted(rows.tolist())
    truth = {int(row): (data.class_names[int(y[row])], p[i]) for i, row in enumerate(rows)}
    for row in tested:
        name, probability = truth[int(row["position"])]
        assert row["target"] == name
        assert row["prediction"] == data.class_names[int(probability.argmax())]
        assert float(row["confidence"]) == pytest.approx(float(probability.max().detach()), abs=6e-5)
        assert [float(row[f"p_{name}"]) for name in data.class_names] == pytest.approx(probability.tolist(), abs=2e-6)
    assert np.mean([row["target"] == row["prediction"] for row in tested]) == pytest.approx(scores["test/acc"])
    untargeted = [{name: value for name, value in row.items() if name != "target"} for row in tested]
    assert read(tmp_path / "predictions" / "predict.csv") == untargeted


def test_rows_are_sorted_by_position(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 3), blobs()
    trainer = fit(model, data, callbacks=[Predictions(tmp_path)])
    x = torch.randn(6, 4)
    parts = [[5, 1], [0, 3, 4], [2]]  # in the order in which two processes would provide them
    batches = [Batch(x[part], torch.zeros(len(part)), torch.tensor(part)) for part in parts]
    trainer.predict(model, DataLoader(batches, batch_size=None), return_predictions=False)  # type: ignore[arg-type]  # a list works as a data set
    rows = read(tmp_path / "predictions" / "predict.csv")
    assert [row["position"] for row in rows] == list("012345")
    assert [row["prediction"] for row in rows] == [data.class_names[k] for k in model(x).argmax(1).tolist()]


def test_regression_is_written_in_the_units_of_the_targets(fit: Fit, tmp_path: Path) -> None:
    model, data = MLPRegressor((10,), 1, hidden_dims=(8,)), Tabular("diabetes")
    trainer = fit(model, data, callbacks=[Predictions(tmp_path)])
    trainer.test(model, datamodule=data, verbose=False)
    rows = read(tmp_path / "predictions" / "test.csv")
    assert set(rows[0]) == {"position", "target", "prediction"}
    assert {float(row["target"]) for row in rows} == set(
        data.splits["test"].arrays.y[data.splits["test"].rows].flatten().tolist()
    )
    assert 50 < np.mean([float(row["prediction"]) for row in rows]) < 250


def test_images_are_listed_by_file_name(fit: Fit, tmp_path: Path) -> None:
    """Each image has its own shade of grey, which identifies its row."""
    for i in range(40):
        path = tmp_path / "greys" / ("dark", "light")[i // 20] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 6 * i).save(path)
    data = ImageFolder(str(tmp_path / "greys"), size=8, rgb=False, batch_size=3, num_workers=0, seed=3)
    trainer = fit(model := SimpleCNNClassifier((1, 8, 8), 2, widths=(4,)), data, callbacks=[Predictions(tmp_path)])
    trainer.test(model, datamodule=data, verbose=False)
    trainer.predict(model, datamodule=data, return_predictions=False)
    tested, predicted = (read(tmp_path / "predictions" / f"{stage}.csv") for stage in ("test", "predict"))
    assert list(tested[0]) == ["file", "position", "target", "prediction", "confidence", "p_dark", "p_light"]
    assert list(predicted[0]) == ["file", "position", "prediction", "confidence", "p_dark", "p_light"]
    assert [row["file"] for row in tested] == [row["file"] for row in predicted]
    assert len({row["file"] for row in tested}) == 8
    for row in tested:
        path = Path(row["file"])
        assert row["target"] == path.parent.name
        with Image.open(path) as picture:
            x = torch.full((1, 1, 8, 8), picture.getpixel((0, 0)), dtype=torch.uint8)
        batch = data.transform(Batch(x, torch.zeros(1), torch.zeros(1)), 0, False)
        confidence, predicted_class = model.eval()(batch.x).softmax(1).max(1)
        assert row["prediction"] == data.class_names[int(predicted_class)]
        assert float(row["confidence"]) == pytest.approx(confidence.item(), abs=1e-4)


class Own(MLPClassifier):
    """A module of a user's own: `outputs` makes what its steps return of the predictions and the positions."""

    returned: Callable[[torch.Tensor, torch.Tensor], Any]

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self.returned(self(batch.x), batch.position)

    predict_step = test_step


def steps(model: Own, fit: Fit, blobs: Blobs, folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables that its test and its predictions write."""
    data = blobs()
    trainer = fit(model, data, callbacks=[Predictions(folder)])
    trainer.test(model, datamodule=data, verbose=False)
    trainer.predict(model, datamodule=data, return_predictions=False)
    return {path.stem: read(path) for path in (folder / "predictions").glob("*.csv")}


@pytest.mark.parametrize(
    "outputs",
    [
        lambda preds, position: preds.sum(),
        lambda preds, position: {"loss": preds.sum()},
        lambda preds, position: {"preds": preds[:, None, None], "position": position},
        lambda preds, position: {"loss": preds.sum(), "position": position},
    ],
    ids=["a tensor", "a loss", "images", "positions only"],
)
def test_outputs_that_are_no_rows_give_no_table(outputs: Callable[..., Any], fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model = Own((4,), 3)
    model.returned = outputs
    assert steps(model, fit, blobs, tmp_path) == {}


def test_predictions_without_targets_are_written(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model = Own((4,), 3)
    model.returned = lambda preds, position: {"preds": preds, "position": position}
    tables = steps(model, fit, blobs, tmp_path)
    assert tables["test"] == tables["predict"]
    assert list(tables["test"][0]) == ["position", "prediction", "confidence", "p_ant", "p_bee", "p_cat"]


def test_an_image_beside_the_predictions_does_not_cost_the_table(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model = Own((4,), 3)
    model.returned = lambda preds, position: {"preds": preds, "attention": preds[:, None, None], "position": position}
    tables = steps(model, fit, blobs, tmp_path)
    assert tables["test"] == tables["predict"]
    assert len(tables["predict"]) > 1


def test_other_outputs_are_written_as_numbers(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model = Own((4,), 3)
    model.returned = lambda preds, position: {"logit": preds[:, 0], "pair": preds[:, :2], "position": position}
    tables = steps(model, fit, blobs, tmp_path)
    assert list(tables) == ["predict"]
    for row in tables["predict"]:
        assert list(row) == ["position", "logit", "pair_0", "pair_1"]
        assert row["logit"] == row["pair_0"]


def test_batches_without_positions_give_no_table(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    class Pairs(MLPClassifier):
        def test_step(self, batch: Any, batch_idx: int) -> Any:
            return {"preds": self(batch[0]), "target": batch[1]}

    trainer = fit(model := Pairs((4,), 3), blobs(), callbacks=[Predictions(tmp_path)])
    model.on_test_batch_start = lambda *_: None  # type: ignore[method-assign]  # these are no batches of the zoo
    loader = DataLoader([(torch.randn(4, 4), torch.zeros(4))], batch_size=None)  # type: ignore[arg-type]  # a list will do
    trainer.test(model, loader, verbose=False)
    assert not (tmp_path / "predictions").exists()


def test_the_probabilities_of_many_classes_are_in_a_file_of_their_own(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    model, data = MLPClassifier((4,), 200), blobs()
    data.num_classes, data.class_names = 200, tuple(f"class {k}" for k in range(200))
    trainer = fit(model, data, callbacks=[Predictions(tmp_path)])
    trainer.predict(model, datamodule=data, return_predictions=False)
    rows = read(tmp_path / "predictions" / "predict.csv")
    assert list(rows[0]) == ["position", "prediction", "confidence"]
    held = read_table(tmp_path / "predictions" / "predict_probabilities.parquet")
    assert held.column_names == ["position", *(f"p_class {k}" for k in range(200))]
    assert held["position"].to_pylist() == [int(row["position"]) for row in rows]
    x = data.splits["test"].arrays.x[held["position"].to_pylist()]
    found = np.stack([held[f"p_class {k}"].to_numpy() for k in range(200)], 1)
    assert np.abs(found - model(x).softmax(1).detach().numpy()).max() < 1e-6


def test_binary_classifiers_have_a_probability_for_both_classes() -> None:
    columns = {"position": torch.tensor([0, 1]), "preds": torch.tensor([0.9, 0.25])}
    found = {name: values.tolist() for name, values in probabilities_of(columns, ("no", "yes")).items()}
    assert found == {"p_no": [0.1, 0.75], "p_yes": [0.9, 0.25]}


def test_a_trial_run_writes_nothing(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    trainer = fit(model := MLPClassifier((4,), 3), data := blobs(), callbacks=[Predictions(tmp_path)], fast_dev_run=True)
    trainer.test(model, datamodule=data, verbose=False)
    assert list(tmp_path.iterdir()) == []
