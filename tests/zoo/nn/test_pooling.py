"""Pooling equals means and maxima of each sequence without its padding."""

import pytest
import torch

from zoo.nn.pooling import AttentionPooling, check_pooling, masked_max, masked_mean

X = (
    torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0)) - 5
)  # all below 0, so that the 0 of a padded step would be the maximum
LENGTHS = torch.tensor([6, 1, 4])


def test_mean_and_max_ignore_padded_steps() -> None:
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(masked_mean(X, LENGTHS)[row], X[row, :length].mean(0))
        torch.testing.assert_close(masked_max(X, LENGTHS)[row], X[row, :length].amax(0))


def test_attention_weights_of_padded_steps_are_0() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(4)
    weights = pool.weights(X, LENGTHS)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    for row, length in enumerate(LENGTHS.tolist()):
        scores = torch.tanh(X[row, :length] @ pool.project.weight.T + pool.project.bias) @ pool.query.weight[0]
        torch.testing.assert_close(weights[row, :length], scores.softmax(0))
        assert not weights[row, length:].any()
        torch.testing.assert_close(pool(X, LENGTHS)[row], scores.softmax(0) @ X[row, :length])


def test_attention_with_a_query_of_0_is_the_mean() -> None:
    pool = AttentionPooling(4)
    torch.nn.init.zeros_(pool.query.weight)
    torch.testing.assert_close(pool(X, LENGTHS), masked_mean(X, LENGTHS))


def test_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown pooling 'sum': choose one of last, mean, max, concat, attention"):
        check_pooling("sum")
