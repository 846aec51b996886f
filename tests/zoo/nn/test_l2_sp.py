import pytest
import torch
from torch import nn

from zoo.nn.l2_sp import StartingPoint


def test_the_penalty_is_half_the_squared_distance() -> None:
    net = nn.Sequential(nn.Linear(2, 1))
    start = StartingPoint(net)
    assert start.penalty(net) == 0
    with torch.no_grad():
        net[0].weight += torch.tensor([[3.0, 4.0]])
        net[0].bias += 2
    assert start.penalty(net).item() == pytest.approx(0.5 * (9 + 16 + 4))
    start.penalty(net).backward()
    torch.testing.assert_close(net[0].weight.grad, torch.tensor([[3.0, 4.0]]))


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Linear(2, 1).requires_grad_(False)
    start = StartingPoint(net)
    net.weight += 1
    assert start.penalty(net) == 0


def test_the_starting_point_is_stored() -> None:
    net, other = nn.Linear(2, 1), nn.Linear(2, 1)
    start, copy = StartingPoint(net), StartingPoint(other)
    copy.load_state_dict(start.state_dict())
    assert copy.penalty(net) == 0
    assert not list(start.parameters())
