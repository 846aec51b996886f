"""Likelihoods of pixels equal torch.distributions and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal

from zoo.nn.likelihoods import LARGEST_LOGIT, LEAST_LOGVAR, bits_per_dim, check_likelihood, mean_image, negative_log_likelihood

OUTPUT = torch.randn(5, 2, 4, 3, generator=torch.Generator().manual_seed(0)) * 3
X = torch.rand(5, 2, 4, 3, generator=torch.Generator().manual_seed(1))


def test_bernoulli_equals_torch_distributions() -> None:
    x = X.round()
    oracle = -Bernoulli(logits=OUTPUT).log_prob(x).sum((1, 2, 3))  # type: ignore[no-untyped-call]  # torch's
    torch.testing.assert_close(negative_log_likelihood("bernoulli", OUTPUT, x), oracle)


@pytest.mark.parametrize("variance", [1.0, 0.01, 4.0])
def test_gaussian_equals_torch_distributions(variance: float) -> None:
    oracle = -Normal(OUTPUT, math.sqrt(variance)).log_prob(X).sum((1, 2, 3))  # type: ignore[no-untyped-call]
    logvar = None if variance == 1 else torch.tensor(math.log(variance))
    torch.testing.assert_close(negative_log_likelihood("gaussian", OUTPUT, X, logvar), oracle)


@pytest.mark.parametrize("logit", [-4.0, -1e-4, 0.0, 0.3, 6.0])
def test_continuous_bernoulli_is_a_density_with_this_mean(logit: float) -> None:
    """Its integral over [0, 1] by the midpoint rule is 1. The plain Bernoulli score is not a density."""
    x = ((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000).view(-1, 1, 1, 1)
    output = torch.full_like(x, logit)
    density = torch.exp(-negative_log_likelihood("continuous_bernoulli", output, x))
    assert density.mean().item() == pytest.approx(1, abs=1e-5)
    assert (density * x.flatten()).mean().item() == pytest.approx(
        mean_image("continuous_bernoulli", output)[0].item(), abs=1e-4
    )
    assert torch.exp(-negative_log_likelihood("bernoulli", output, x)).mean().item() < 0.9


def test_pixels_of_each_image_are_summed() -> None:
    for likelihood in ("bernoulli", "continuous_bernoulli", "gaussian"):
        nll = negative_log_likelihood(likelihood, OUTPUT, X)  # type: ignore[arg-type]  # a literal in a loop
        assert nll.shape == (5,)
        pixels = [
            negative_log_likelihood(likelihood, o.view(1, 1, 1), v.view(1, 1, 1))
            for o, v in zip(OUTPUT[2].flatten(), X[2].flatten(), strict=True)
        ]  # type: ignore[arg-type]
        torch.testing.assert_close(nll[2], torch.stack(pixels).sum())


def test_mean_images_lie_in_0_1() -> None:
    for likelihood in ("bernoulli", "continuous_bernoulli", "gaussian"):
        low, high = mean_image(likelihood, OUTPUT).aminmax()  # type: ignore[arg-type]
        assert 0 <= low < high <= 1


def test_fair_coins_have_one_bit_per_pixel_and_a_flat_density_eight() -> None:
    x = torch.rand(3, 1, 6, 7).round()
    nll = negative_log_likelihood("bernoulli", torch.zeros(3, 1, 6, 7), x)
    torch.testing.assert_close(bits_per_dim("bernoulli", nll, 42), torch.ones(3))
    flat = negative_log_likelihood("continuous_bernoulli", torch.zeros(3, 1, 6, 7), torch.rand(3, 1, 6, 7))
    torch.testing.assert_close(bits_per_dim("continuous_bernoulli", flat, 42), torch.full((3,), 8.0))


def test_an_unknown_likelihood_is_refused() -> None:
    with pytest.raises(
        ValueError, match="unknown likelihood 'poisson': choose one of bernoulli, continuous_bernoulli, gaussian"
    ):
        check_likelihood("poisson")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_continuous_bernoulli_equals_closed_forms_for_logits_of_any_size(dtype: torch.dtype) -> None:
    """The reference is closed forms in float64, because torch.distributions stops at a logit of 15.9."""
    logits = torch.tensor([-200.0, -50.0, -17.0, -1.0, -0.125, -0.0625, 0.0, 0.0625, 0.125, 3.0, 50.0], dtype=dtype)
    wide = logits.double()
    wide[6] = 1e-4  # the closed forms are 0 / 0 at 0
    wide = LARGEST_LOGIT * torch.tanh(wide / LARGEST_LOGIT)
    x = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)[:, None]
    density = x * wide - F.softplus(wide) + torch.log(wide / torch.tanh(wide / 2))
    mine = negative_log_likelihood(
        "continuous_bernoulli", logits.view(1, -1, 1, 1, 1).expand(3, -1, 1, 1, 1), x.float().view(3, 1, 1, 1, 1)
    )
    torch.testing.assert_close(mine.double(), -density, rtol=1e-5, atol=1e-4)
    mean = 1 / -torch.expm1(-wide) - 1 / wide
    torch.testing.assert_close(mean_image("continuous_bernoulli", logits).double(), mean, rtol=1e-4, atol=2e-5)


def test_the_density_of_perfectly_copied_images_is_bounded() -> None:
    """Pixels are known to half an 8-bit step, which bounds a Gaussian's variance and a continuous Bernoulli's mean."""
    white, huge = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 1e6, requires_grad=True)
    nll = negative_log_likelihood("continuous_bernoulli", huge, white)
    assert nll.item() == pytest.approx(-math.log(2 * 255), rel=1e-5)
    assert mean_image("continuous_bernoulli", huge).item() == pytest.approx(1 - 0.5 / 255, abs=1e-6)
    far = torch.full((1, 1, 1, 1), -1000.0, requires_grad=True)  # the gradient must not vanish far from the target
    negative_log_likelihood("continuous_bernoulli", far, white).backward()
    assert far.grad is not None
    assert far.grad.item() < -0.01
    certain = negative_log_likelihood("gaussian", X, X, torch.tensor([-100.0]))
    torch.testing.assert_close(certain, negative_log_likelihood("gaussian", X, X, torch.tensor([LEAST_LOGVAR])))
