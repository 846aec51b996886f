"""Interpolation between codes: end points, midpoints and norms."""

import math

import torch

from zoo.nn.interpolation import linear, spherical


def test_both_ways_start_and_end_where_they_should() -> None:
    a, b = torch.randn(2, 16)
    for way in (linear, spherical):
        codes = way(a, b, 7)
        assert codes.shape == (7, 16)
        torch.testing.assert_close(codes[0], a)
        torch.testing.assert_close(codes[-1], b)


def test_the_straight_way_is_even_and_leaves_the_sphere() -> None:
    a, b = torch.eye(2)
    torch.testing.assert_close(linear(a, b, 5)[2], torch.tensor([0.5, 0.5]))


def test_the_spherical_way_turns_evenly_and_stays_on_the_sphere() -> None:
    a, b = torch.eye(2)
    codes = spherical(a, 2 * b, 4)
    torch.testing.assert_close(codes.norm(dim=1), torch.linspace(1, 2, 4))
    angles = torch.atan2(codes[:, 1], codes[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 4))


def test_where_no_one_great_circle_leads_it_goes_straight() -> None:
    a = torch.randn(8)
    for b in (3 * a, -a, torch.zeros(8)):
        torch.testing.assert_close(spherical(a, b, 5), linear(a, b, 5))
