"""Over the batch, or over the features."""

import pytest
import torch

from zoo.nn.norms import Norm, feature_norm


@pytest.mark.parametrize(("name", "axis"), [("batch", 0), ("layer", 1)])
def test_standardises_over_its_own_axis(name: Norm, axis: int) -> None:
    x = 5 + 3 * torch.randn(64, 32)
    oracle = (x - x.mean(axis, keepdim=True)) / torch.sqrt(x.var(axis, correction=0, keepdim=True) + 1e-5)
    torch.testing.assert_close(feature_norm(name, 32)(x), oracle, rtol=1e-4, atol=1e-4)


def test_batch_norm_keeps_statistics_for_evaluation() -> None:
    norm, x = feature_norm("batch", 3), 5 + 3 * torch.randn(1000, 3)
    for _ in range(200):  # each pass moves them a tenth of the way
        norm(x)
    oracle = (x[:1] - x.mean(0)) / torch.sqrt(x.var(0, correction=1) + 1e-5)  # the running variance is unbiased
    torch.testing.assert_close(norm.eval()(x[:1]), oracle, rtol=1e-4, atol=1e-4)


def test_none_changes_nothing() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(feature_norm("none", 3)(x), x)


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown norm 'group': choose one of none, batch, layer"):
        feature_norm("group", 3)  # type: ignore[arg-type]  # wrong on purpose
