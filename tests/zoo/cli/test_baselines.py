"""Baselines belong to a recipe, and each metric is better high or low."""

import pytest

from zoo.cli.baselines import higher_is_better, read_baselines
from zoo.cli.catalog import entries
from zoo.cli.names import recipe_paths


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("test/acc", True), ("test/kept_b", True), ("test/fd_simple_cnn_mnist_samples", False), ("test/negative_elbo", False)],
)
def test_the_first_word_of_a_metric_says_which_way_is_up(metric: str, higher: bool) -> None:
    assert higher_is_better(metric) == higher


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match="unknown metric test/weight: add 'weight'"):
        higher_is_better("test/weight")


def test_it_is_known_of_every_score() -> None:
    for entry in entries():
        for score in entry["scores"]:
            if "*" not in score["metric"]:
                higher_is_better(score["metric"])


def test_every_baseline_is_of_a_recipe_and_there_is_one_of_each() -> None:
    names = [line["recipe"] for line in read_baselines()]
    assert names == sorted(set(names))
    assert set(names) <= recipe_paths().keys()
