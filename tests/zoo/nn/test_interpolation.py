"""Interpolations have the right end points, midpoints and norms."""

import math

import torch

from zoo.nn.interpolation import linear, spherical


def test_interpolations_start_and_end_at_the_codes() -> None:
    a, b = torch.randn(2, 16)
    for way in (linear, spherical):
        codes = way(a, b, 7)
        assert codes.shape == (7, 16)
        torch.testing.assert_close(codes[0], a)
        torch.testing.assert_close(codes[-1], b)


def test_linear_interpolation_passes_through_the_midpoint() -> None:
    a, b = torch.eye(2)
    torch.testing.assert_close(linear(a, b, 5)[2], torch.tensor([0.5, 0.5]))


def test_spherical_interpolation_has_even_angles_and_norms() -> None:
    a, b = torch.eye(2)
    codes = spherical(a, 2 * b, 4)
    torch.testing.assert_close(codes.norm(dim=1), torch.linspace(1, 2, 4))
    angles = torch.atan2(codes[:, 1], codes[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 4))


def test_parallel_or_zero_codes_are_interpolated_linearly() -> None:
    a = torch.randn(8)
    for b in (3 * a, -a, torch.zeros(8)):
        torch.testing.assert_close(spherical(a, b, 5), linear(a, b, 5))
