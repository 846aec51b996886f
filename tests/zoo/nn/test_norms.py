"""Norms standardise over the right dimensions."""

import pytest
import torch
from torch import nn

from zoo.nn.norms import Norm, feature_norm, map_norm, spectral


@pytest.mark.parametrize(("name", "axis"), [("batch", 0), ("layer", 1)])
def test_features_are_standardised_over_the_batch_or_the_features(name: Norm, axis: int) -> None:
    x = 5 + 3 * torch.randn(64, 32)
    oracle = (x - x.mean(axis, keepdim=True)) / torch.sqrt(x.var(axis, correction=0, keepdim=True) + 1e-5)
    torch.testing.assert_close(feature_norm(name, 32)(x), oracle, rtol=1e-4, atol=1e-4)


def test_batch_norm_keeps_statistics_for_evaluation() -> None:
    norm, x = feature_norm("batch", 3), 5 + 3 * torch.randn(1000, 3)
    for _ in range(200):  # each pass moves the statistics by a tenth of the difference
        norm(x)
    oracle = (x[:1] - x.mean(0)) / torch.sqrt(x.var(0, correction=1) + 1e-5)  # the running variance is unbiased
    torch.testing.assert_close(norm.eval()(x[:1]), oracle, rtol=1e-4, atol=1e-4)


def test_maps_are_standardised_over_the_batch_or_over_each_map() -> None:
    x = 5 + 3 * torch.randn(6, 2, 4, 4)
    torch.testing.assert_close(map_norm("instance", 2)(x).mean((2, 3)), torch.zeros(6, 2), rtol=0, atol=1e-5)
    by_batch = map_norm("batch", 2)(x)
    torch.testing.assert_close(by_batch.mean((0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
    assert by_batch.mean((2, 3)).abs().max() > 0.05
    assert torch.equal(map_norm("none", 2)(x), x)
    with pytest.raises(ValueError, match="unknown norm 'layer': choose one of none, batch, instance"):
        map_norm("layer", 2)  # type: ignore[arg-type]  # wrong on purpose


def test_none_leaves_the_input_unchanged() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(feature_norm("none", 3)(x), x)


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown norm 'group': choose one of none, batch, layer"):
        feature_norm("group", 3)  # type: ignore[arg-type]  # wrong on purpose


def test_a_layer_with_spectral_norm_has_norm_one() -> None:
    layer = spectral(nn.Linear(6, 4))
    for _ in range(20):
        layer(torch.randn(2, 6))
    assert torch.linalg.matrix_norm(layer.weight, ord=2).item() == pytest.approx(1, abs=1e-4)
