"""Which scores are still to be measured."""

import json

import torch

from zoo.cli.names import find_recipe, recipe_paths
from zoo.cli.reproduce import missing, most_seeds, wants_gpu
from zoo.cli.results import results_path


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
