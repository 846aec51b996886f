"""The linear probe finds linear structure only; principal components equal scikit-learn's."""

import pytest
import torch
from sklearn.decomposition import PCA

from zoo.metrics.probe import linear_probe, principal_components


def test_the_probe_finds_linear_but_not_nonlinear_structure() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 2)
    linear, crossed = (x[:, 0] > 0).long(), (x.prod(1) > 0).long()
    assert linear_probe(x[:500], linear[:500], x[500:], linear[500:]) > 0.97
    assert linear_probe(x[:500], crossed[:500], x[500:], crossed[500:]) == pytest.approx(0.5, abs=0.08)


def test_the_scale_of_a_feature_does_not_matter() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 3)
    y = (x.sum(1) + 0.5 * torch.randn(400) > 0).long()
    scaled = x * torch.tensor([1e-4, 1.0, 1e4]) + 5
    assert linear_probe(scaled[:300], y[:300], scaled[300:], y[300:]) == linear_probe(x[:300], y[:300], x[300:], y[300:])


def test_components_equal_scikit_learns() -> None:
    x = torch.randn(200, 6) @ torch.randn(6, 6)
    mean, directions = principal_components(x, 3)
    oracle = PCA(3).fit(x.double().numpy())
    torch.testing.assert_close(mean.double(), torch.from_numpy(oracle.mean_), atol=1e-5, rtol=1e-4)
    overlap = directions.double() @ torch.from_numpy(oracle.components_).T
    torch.testing.assert_close(overlap.abs(), torch.eye(3).double(), atol=1e-4, rtol=0)
