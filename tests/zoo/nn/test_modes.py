import pytest
from torch import nn

from zoo.nn.modes import evaluating


def test_each_part_returns_to_its_own_mode() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2))
    net[1].eval()  # frozen
    with evaluating(net):
        assert not any(part.training for part in net.modules())
    assert [part.training for part in net.modules()] == [True, True, False]
    with pytest.raises(ValueError, match="stop"), evaluating(net):
        raise ValueError("stop")
    assert [part.training for part in net.modules()] == [True, True, False]
