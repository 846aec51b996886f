"""Ways from one code to another.

Shapes: Z numbers of a code, S steps.
"""

import torch
from torch import Tensor


def linear(a: Tensor, b: Tensor, num_steps: int) -> Tensor:
    """The straight way from a (Z,) to b (Z,), both included: (S, Z)."""
    share = torch.linspace(0, 1, num_steps, device=a.device)[:, None]
    return (1 - share) * a + share * b


def spherical(a: Tensor, b: Tensor, num_steps: int) -> Tensor:
    """The way on the great circle, lengths changing evenly: (S, Z) (White, 2016, arXiv:1609.04468).

    Draws of a Gaussian of many dimensions lie near a sphere; the straight way leaves it. Codes in the same or opposite
    direction, or without one, have no one great circle: then the way is straight.
    """
    cosine = a @ b / (a.norm() * b.norm()).clamp(min=1e-12)
    if cosine.abs() > 1 - 1e-6 or not a.any() or not b.any():
        return linear(a, b, num_steps)
    angle = torch.acos(cosine)
    share = torch.linspace(0, 1, num_steps, device=a.device)[:, None]
    direction = (torch.sin((1 - share) * angle) * a / a.norm() + torch.sin(share * angle) * b / b.norm()) / torch.sin(angle)
    return direction * ((1 - share) * a.norm() + share * b.norm())


def both_ways(z: Tensor, num_steps: int) -> Tensor:
    """Two rows for each pair of codes (2 P, Z), neighbours in it: straight, and on the great circle: (2 P, S, Z)."""
    return torch.stack([way(a, b, num_steps) for a, b in zip(z[::2], z[1::2], strict=True) for way in (linear, spherical)])
