"""Random numbers that depend on their purpose alone, not on earlier draws.

A counter-based generator: (seed, epoch, stream, position) is hashed with the finaliser of SplitMix64 (Steele, Lea & Flood,
2014, "Fast splittable pseudorandom number generators"), so that worker count, batch size, rank and restarts change nothing.
"""

import hashlib

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """Return the int64 that has the 64-bit pattern of `value`."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FACTORS = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)  # The shift of int64 copies the sign bit, so it is masked out.


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _FACTORS[0]
    z = (z ^ _shift_right(z, 27)) * _FACTORS[1]
    return z ^ _shift_right(z, 31)


def uniform(position: Tensor, *, seed: int, epoch: int, num_draws: int, stream: str = "") -> Tensor:
    """Draw uniform numbers in [0, 1) per sample: (B,) int64 positions to (B, num_draws) float32, on the same device.

    Streams of different names are independent of each other.
    """
    named = [int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())] if stream else []
    key = torch.zeros_like(position)
    for part in (seed, epoch, *named):
        key = _mix(key + _signed(part) + _GOLDEN)
    draw = torch.arange(num_draws, device=position.device)
    state = _mix(_mix(key + position)[:, None] + (draw + 1) * _GOLDEN)
    return _shift_right(state, 40).float() / (1 << 24)
