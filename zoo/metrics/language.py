"""How well a language model guesses the next token, over a whole text."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric


class TokenLoss(Metric):
    """Mean of -ln p(the token that came), over all tokens of all batches, however these are cut."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Logits (..., V) against tokens (...) int64."""
        self.total += F.cross_entropy(preds.flatten(0, -2).float(), target.flatten(), reduction="sum")
        self.count += target.numel()

    def compute(self) -> Tensor:
        return (self.total / self.count).float()


class BitsPerToken(TokenLoss):
    """The same in bits: what a perfect coder needs per token (Shannon, 1948)."""

    def compute(self) -> Tensor:
        return super().compute() / math.log(2)


class Perplexity(TokenLoss):
    """exp of the mean: between how many equally likely tokens the model was left to choose."""

    def compute(self) -> Tensor:
        return super().compute().exp()
