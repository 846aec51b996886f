"""The counter of layers is right where the answer is known."""

import pytest
from torch import nn

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["architectures"])


def test_depth_is_the_longest_path() -> None:
    assert module.count(module.CASES["3 layers"])[:2] == (3, 3)
    assert module.count(module.CASES["3 layers and a branch"])[:2] == (3, 4)


@pytest.mark.parametrize(("name", "parameters"), [("AlexNet", 61_100_840), ("ResNet-18", 11_689_512)])
def test_published_counts(name: str, parameters: int) -> None:
    found = module.count(module.CASES[name])
    assert found.parameters == parameters
    assert found.depth == {"AlexNet": 8, "ResNet-18": 18}[name]


def test_linear_layers_count_and_activations_do_not() -> None:
    def build() -> nn.Module:
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 2)]
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), *head)

    assert module.count(module.Case("known", 2012, build, side=8))[:2] == (3, 3)
