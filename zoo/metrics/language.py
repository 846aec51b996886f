"""Metrics of language models: prediction of the next token, averaged over a whole text."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric


class TokenLoss(Metric):
    """Mean of -ln p(next token) over all tokens, independent of how the text is split into batches."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add logits (..., V) and the tokens (...), int64, that they predict."""
        self.total += F.cross_entropy(preds.flatten(0, -2).float(), target.flatten(), reduction="sum")
        self.count += target.numel()

    def compute(self) -> Tensor:
        return (self.total / self.count).float()


class BitsPerToken(TokenLoss):
    """Mean of -log2 p(next token): the bits per token of an ideal code (Shannon, 1948)."""

    def compute(self) -> Tensor:
        return super().compute() / math.log(2)


class Perplexity(TokenLoss):
    """Exponential of the mean loss: the number of equally likely tokens that would be as hard to predict."""

    def compute(self) -> Tensor:
        return super().compute().exp()
