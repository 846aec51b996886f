"""Scores of a language model do not depend on how the text is split into batches."""

import math

import pytest
import torch
import torch.nn.functional as F

from zoo.metrics.language import BitsPerToken, Perplexity, TokenLoss


def test_scores_do_not_depend_on_the_split_into_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, tokens = 3 * torch.randn(2, 100, 9, generator=generator), torch.randint(9, (2, 100), generator=generator)
    whole = F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).item()
    for sizes in ([100], [50, 50], [97, 2, 1]):
        for metric, expected in (
            (TokenLoss(), whole),
            (BitsPerToken(), whole / math.log(2)),
            (Perplexity(), math.exp(whole)),
        ):
            for part, target in zip(logits.split(sizes, dim=1), tokens.split(sizes, dim=1), strict=True):
                metric.update(part, target)
            assert metric.compute().item() == pytest.approx(expected, rel=1e-5)


def test_eight_equally_likely_tokens_have_three_bits() -> None:
    logits, tokens = torch.zeros(5, 8), torch.arange(5)
    assert BitsPerToken()(logits, tokens).item() == pytest.approx(3)
    assert Perplexity()(logits, tokens).item() == pytest.approx(8)
