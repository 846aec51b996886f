"""Interpolation between codes.

Shapes: Z code size, S steps, P pairs.
"""

import torch
from torch import Tensor


def linear(a: Tensor, b: Tensor, num_steps: int) -> Tensor:
    """Interpolate on the straight line from a (Z,) to b (Z,), both included: (S, Z)."""
    share = torch.linspace(0, 1, num_steps, device=a.device)[:, None]
    return (1 - share) * a + share * b


def spherical(a: Tensor, b: Tensor, num_steps: int) -> Tensor:
    """Interpolate on the great circle from a (Z,) to b (Z,), with the norm changing linearly: (S, Z).

    Samples of a Gaussian in many dimensions lie near a sphere, which the straight line leaves (White, 2016, arXiv:1609.04468).
    Parallel or zero codes define no unique great circle. They are interpolated on the straight line.
    """
    cosine = a @ b / (a.norm() * b.norm()).clamp(min=1e-12)
    if cosine.abs() > 1 - 1e-6 or not a.any() or not b.any():
        return linear(a, b, num_steps)
    angle = torch.acos(cosine)
    share = torch.linspace(0, 1, num_steps, device=a.device)[:, None]
    direction = (torch.sin((1 - share) * angle) * a / a.norm() + torch.sin(share * angle) * b / b.norm()) / torch.sin(angle)
    return direction * ((1 - share) * a.norm() + share * b.norm())


def both_ways(z: Tensor, num_steps: int) -> Tensor:
    """Interpolate between neighbouring codes (2 P, Z), for each pair first linearly and then spherically: (2 P, S, Z)."""
    return torch.stack([way(a, b, num_steps) for a, b in zip(z[::2], z[1::2], strict=True) for way in (linear, spherical)])
