"""Random numbers that are a function of what they are for, not of who drew before.

A counter-based generator: hash (seed, epoch, position) with SplitMix64's finaliser (Steele, Lea & Flood, 2014,
"Fast splittable pseudorandom number generators"), so that worker count, batch size, rank and restarts change nothing.
"""

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """A 64-bit pattern as torch's int64 writes it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FACTORS = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # int64's own shift copies the sign


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _FACTORS[0]
    z = (z ^ _shift_right(z, 27)) * _FACTORS[1]
    return z ^ _shift_right(z, 31)


def uniform(position: Tensor, *, seed: int, epoch: int, num_draws: int) -> Tensor:
    """Uniform numbers in [0, 1) per sample: (B,) int64 positions to (B, num_draws) float32, on the same device."""
    key = torch.zeros_like(position)
    for part in (seed, epoch):
        key = _mix(key + _signed(part) + _GOLDEN)
    draw = torch.arange(num_draws, device=position.device)
    state = _mix(_mix(key + position)[:, None] + (draw + 1) * _GOLDEN)
    return _shift_right(state, 40).float() / (1 << 24)
