"""Principal components against scikit-learn's own."""

import torch
from sklearn.decomposition import PCA

from zoo.metrics.principal_components import principal_components


def test_components_are_those_of_scikit_learn() -> None:
    x = torch.randn(200, 6) @ torch.randn(6, 6)
    mean, directions = principal_components(x, 3)
    oracle = PCA(3).fit(x.double().numpy())
    torch.testing.assert_close(mean.double(), torch.from_numpy(oracle.mean_), atol=1e-5, rtol=1e-4)
    overlap = directions.double() @ torch.from_numpy(oracle.components_).T
    torch.testing.assert_close(overlap.abs(), torch.eye(3).double(), atol=1e-4, rtol=0)
