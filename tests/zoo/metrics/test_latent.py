"""Bounds on a known likelihood, and the number of active dimensions."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from zoo.metrics.latent import active_units, importance_weighted, importance_weighted_bound, split_mean

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


def test_a_subset_that_is_too_easy_does_not_lower_the_mean_of_the_split() -> None:
    difficulty = torch.linspace(80, 120, 4000)
    elbos, bounds = -difficulty[:, None] + torch.randn(4000, 10), -difficulty + 3
    easy = slice(0, 400)  # 82 nats on average
    found = split_mean(elbos, elbos[easy], bounds[easy])
    assert found.mean == pytest.approx(-97, abs=4 * found.error)
    assert bounds[easy].mean() > -80


def test_the_standard_error_is_the_deviation_over_subsets() -> None:
    torch.manual_seed(0)
    difficulty, gain = 10 * torch.randn(5000), 3 + torch.rand(5000)
    found = []
    for _ in range(400):
        elbos, subset = difficulty[:, None] + 2 * torch.randn(5000, 5), torch.randperm(5000)[:50]
        found.append(split_mean(elbos, elbos[subset], (difficulty + gain)[subset]))
    means = torch.tensor([estimate.mean for estimate in found])
    assert means.std().item() == pytest.approx(sum(estimate.error for estimate in found) / 400, rel=0.15)
    assert means.mean().item() == pytest.approx((difficulty + gain).mean().item(), abs=0.03)


def test_one_image_has_no_standard_error() -> None:
    found = split_mean(torch.zeros(1, 10), torch.zeros(1, 10), torch.ones(1))
    assert found.mean == 1
    assert math.isnan(found.error)


def test_the_weighted_bound_is_the_log_of_the_mean_weight() -> None:
    weights = torch.rand(7, 3).double()
    torch.testing.assert_close(importance_weighted(weights.log()), weights.mean(0).log())
