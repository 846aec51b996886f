"""Pooling of a sequence of states into one vector. Padded steps are ignored.

Shapes: B batch, T steps, H state size.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from zoo.errors import check_choice
from zoo.nn.cells import valid_steps

Pooling = Literal["last", "mean", "max", "concat", "attention"]


def masked_mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Average over the valid steps: x (B, T, H), lengths (B,) to (B, H)."""
    counts = valid_steps(x, lengths)[:, :, None]
    return (x * counts).sum(1) / lengths.to(x.device, x.dtype)[:, None]


def masked_max(x: Tensor, lengths: Tensor) -> Tensor:
    """Take the maximum over the valid steps: x (B, T, H), lengths (B,) to (B, H)."""
    return x.masked_fill(~valid_steps(x, lengths)[:, :, None], -torch.inf).amax(1)


class AttentionPooling(nn.Module):
    """Average weighted by attention, the softmax over steps of v . tanh(W h + b) (Yang et al., 2016, HAN)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return (self.weights(x, lengths)[:, :, None] * x).sum(1)

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Compute the weight of each step: (B, T, H) to (B, T). Padded steps weigh 0, and each row sums to 1."""
        scores = self.query(torch.tanh(self.project(x)))[:, :, 0]
        return scores.masked_fill(~valid_steps(x, lengths), -torch.inf).softmax(1)


def check_pooling(pooling: str) -> None:
    """Check the name of a pooling.

    Raises:
        ZooError: if it is unknown.
    """
    check_choice("pooling", pooling, get_args(Pooling))
