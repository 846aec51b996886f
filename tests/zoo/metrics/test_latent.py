"""Bounds on a known likelihood, and the number of active dimensions."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from zoo.metrics.latent import active_units, importance_weighted_bound

X = torch.tensor([-1.0, 0.5, 2.0])


def log_weights(num: int) -> Tensor:
    """z ~ N(0, 1), x ~ N(z, 1), with q(z|x) = N(0, 1): log p(x, z) - log q(z|x) = log N(x; z, 1)."""
    z = torch.randn(num, 3)
    return -0.5 * ((X - z).square() + math.log(2 * math.pi))


def test_the_bound_rises_from_the_elbo_to_the_likelihood() -> None:
    truth = Normal(0.0, math.sqrt(2)).log_prob(X)  # type: ignore[no-untyped-call]  # torch's
    elbo = -0.5 * (X.square() + 1 + math.log(2 * math.pi))  # E[(x - z)^2] = x^2 + 1
    torch.manual_seed(0)
    one = torch.stack([importance_weighted_bound(log_weights, 1) for _ in range(20_000)]).mean(0)
    ten = torch.stack([importance_weighted_bound(log_weights, 10) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(one, elbo, atol=0.05, rtol=0)
    assert (one < ten).all()
    assert (ten < truth).all()
    torch.testing.assert_close(importance_weighted_bound(log_weights, 200_000, at_once=50_000), truth, atol=0.02, rtol=0)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_the_bound_does_not_depend_on_at_once(at_once: int) -> None:
    weights = torch.randn(20, 3) * 50
    place = iter(range(0, 10**6))

    def drawn(num: int) -> Tensor:
        return torch.stack([weights[next(place)] for _ in range(num)])

    whole = torch.logsumexp(weights.double(), 0).float() - math.log(20)
    torch.testing.assert_close(importance_weighted_bound(drawn, 20, at_once), whole)


def test_a_number_of_samples_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="num_samples and at_once must be at least 1, got 0 and 100"):
        importance_weighted_bound(log_weights, 0)


def test_units_with_little_variance_are_not_active() -> None:
    means = torch.randn(500, 5) * torch.tensor([1.0, 0.2, 0.05, 0.0, 3.0]) + 7
    assert active_units(means) == 3  # variances 1, 0.04 and 9 against 0.01
