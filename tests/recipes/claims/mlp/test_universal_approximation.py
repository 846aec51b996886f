"""The constructed network is the polygon through the target, and the identity is a line at any width."""

import pytest
import torch

from recipes.claims.mlp import universal_approximation as claim


def test_the_constructed_network_goes_through_its_places_and_is_straight_between_them() -> None:
    net, places = claim.construct(10), torch.linspace(-1, 1, 11, dtype=torch.float64)[:, None]
    with torch.no_grad():
        assert torch.allclose(net(places), claim.target(places))
        middles = (places[1:] + places[:-1]) / 2
        assert torch.allclose(net(middles), (claim.target(places)[1:] + claim.target(places)[:-1]) / 2)


def test_twice_the_units_quarter_the_error() -> None:
    """The error of a polygon is at most h^2 / 8 times the curvature; 0, where the kink is, is a place of each even width."""
    errors = [claim.error(claim.construct(width), -1, 1) for width in (64, 128, 256)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_without_an_activation_a_wide_network_is_a_line() -> None:
    net = claim.train("identity", 50, 3, seed=0)
    with torch.no_grad():
        y = net(torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None])[:, 0]
    assert torch.allclose(y.diff().diff(), torch.zeros(7, dtype=torch.float64), atol=1e-12)
