"""The data fills in missing model arguments. Contradictions are refused."""

from pathlib import Path
from typing import Any

import pytest

from datamodules import Digits, Tabular
from zoo.mlp.mlp import MLPClassifier, MLPRegressor
from zoo.training.links import expected_input, import_class, resolve_links, resolve_preparation
from zoo.transfer.transfer_classifier import TransferClassifier

LITE0 = {"backbone": "efficientnet_lite0", "weights": "offline"}


@pytest.mark.parametrize("given", [{}, {"input_shape": None, "num_classes": None}, {"lr": 0.1}])
def test_missing_arguments_are_filled_in(given: dict[str, Any]) -> None:
    assert resolve_links(MLPClassifier, given, Digits()) == {"input_shape": [1, 8, 8], "num_classes": 10}


def test_a_resolved_model_can_be_built() -> None:
    model = MLPClassifier(**resolve_links(MLPClassifier, {}, Digits()))
    assert model.net.output.out_features == 10


@pytest.mark.parametrize("shape", [(1, 8, 8), [1, 8, 8]])
def test_given_values_that_equal_the_facts_are_kept(shape: Any) -> None:
    assert resolve_links(MLPClassifier, {"input_shape": shape, "num_classes": 10}, Digits()) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_classes": 7}, "model.num_classes is 7, but Digits has 10: leave it out, or change the data"),
        ({"input_shape": [1, 28, 28]}, r"model.input_shape is \[1, 28, 28\], but Digits has \[1, 8, 8\]"),
    ],
)
def test_a_contradiction_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_links(MLPClassifier, given, Digits())


def test_only_arguments_of_the_model_are_filled_in() -> None:
    assert resolve_links(MLPRegressor, {}, Tabular("diabetes")) == {"input_shape": [10], "num_targets": 1}
    assert resolve_links(MLPRegressor, {}, Digits()) == {"input_shape": [1, 8, 8]}  # Digits states no num_targets


def test_arguments_that_the_data_does_not_state_are_left_to_the_user() -> None:
    assert resolve_links(MLPClassifier, {"num_classes": 3}, Tabular("diabetes")) == {"input_shape": [10]}


def test_classes_are_imported_by_their_path() -> None:
    assert import_class("zoo.MLPClassifier") is import_class("zoo.mlp.mlp.MLPClassifier") is MLPClassifier
    assert import_class("pathlib.Path") is Path


def test_pretrained_weights_fill_in_how_images_are_prepared() -> None:
    given = {"size": None, "crop": 1.0, "mean": None, "root": "photos"}
    expected = expected_input(TransferClassifier, {**LITE0, "lr": 0.1})
    assert resolve_preparation(expected, given) == {"size": 224, "mean": [0.5] * 3}
    assert resolve_preparation(expected, {"mean": None, "rgb": False}) == {"mean": [0.5]}
    assert expected_input(MLPClassifier, {}) == {}


def test_another_normalisation_than_that_of_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expect data.mean \[0.5, 0.5, 0.5\], got \[0.4, 0.5, 0.5\]: leave it out"):
        resolve_preparation(expected_input(TransferClassifier, LITE0), {"mean": [0.4, 0.5, 0.5]})


def test_grey_weights_refuse_colour_images() -> None:
    expected = expected_input(TransferClassifier, {"backbone": None, "weights": "simple_cnn_fashion_mnist"})
    assert resolve_preparation(expected, {"rgb": False, "mean": None}) == {"mean": [0.286]}
    with pytest.raises(ValueError, match=r"weights take grey images: set data\.rgb to false"):
        resolve_preparation(expected, {"rgb": True, "mean": None})
