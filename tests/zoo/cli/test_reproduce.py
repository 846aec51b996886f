"""Scores that are missing or out of date."""

import json
from pathlib import Path

import pytest
import torch

from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.reproduce import missing, most_seeds, wants_gpu
from zoo.cli.results import results_path, settings_checksum, summarise


def test_what_is_measured_is_not_missing_and_a_header_says_how_many_seeds_there_are() -> None:
    recipe = find_recipe("dcgan_fashion_mnist")
    assert most_seeds(recipe) == 1
    measured = {json.loads(line)["seed"] for line in results_path(recipe).read_text().splitlines()}
    assert 0 in measured
    assert recipe not in [path for path, _ in missing(num_seeds=3)]
    digits = find_recipe("mlp_digits")
    known = {json.loads(line)["seed"] for line in results_path(digits).read_text().splitlines()}
    assert [seed for path, seed in missing(num_seeds=max(known) + 3) if path == digits] == [max(known) + 1, max(known) + 2]


def test_recipes_of_a_gpu_are_missing_only_where_there_is_one() -> None:
    large = {path for path in recipe_paths().values() if wants_gpu(path)}
    assert find_recipe("stylegan_cifar10") in large
    assert find_recipe("stylegan_fashion_mnist") not in large
    assert (large <= {path for path, _ in missing(num_seeds=1)}) == torch.cuda.is_available()


def test_a_score_that_no_run_reported_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "gan.yaml"
    recipe.write_text("model: {class_path: zoo.GAN}\ndata: {class_path: datamodules.Digits}\ntrainer: {max_epochs: 1}\n")
    line = {"seed": 0, "config": settings_checksum(recipe), "commit": "abc", "metrics": {"test/d_loss": 1.0}}
    results_path(recipe).write_text(json.dumps(line) + "\n")
    settings = {"data": {"class_path": "datamodules.Digits"}}
    with pytest.raises(ValueError, match=r"gan.yaml was measured without test/fd_\* or test/modes: add a callback"):
        summarise(recipe, ("test/fd_*", "test/modes"), settings)
