"""The linear probe finds linear structure only, whatever the scale of the features."""

import pytest
import torch

from zoo.tasks.linear_probe import linear_probe


def test_it_reads_what_is_linear_and_not_what_is_not() -> None:
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
