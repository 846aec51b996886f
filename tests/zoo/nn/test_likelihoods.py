"""Likelihoods of pixels equal torch.distributions and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal

from zoo.nn.block_noise import BlockNoise
from zoo.nn.likelihoods import (
    FIRST_LOG_SCALE,
    LARGEST_LOGIT,
    LEAST_LOGVAR,
    bits_per_dim,
    check_likelihood,
    mean_image,
    negative_log_likelihood,
    num_outputs,
)

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
        ValueError, match="unknown likelihood 'poisson': choose one of bernoulli, continuous_bernoulli, gaussian, discretised"
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


@pytest.mark.parametrize(("mean", "log_scale"), [(0.2, 0.0), (-3.0, 1.0), (1.1, -4.0), (0.0, -100.0)])
def test_discretised_logistic_gives_256_levels_a_probability_of_one(mean: float, log_scale: float) -> None:
    """It also equals differences of the logistic function, computed in float64."""
    levels = torch.arange(256) / 255
    output = torch.tensor([mean, log_scale]).view(2, 1, 1).expand(256, 2, 1, 1)
    p = torch.exp(-negative_log_likelihood("discretised_logistic", output, levels.view(-1, 1, 1, 1)))
    assert p.sum().item() == pytest.approx(1, abs=1e-4)
    if log_scale > -10:
        ends = (2 * levels[:-1].double() - 1 + 1 / 255 - mean) / math.exp(log_scale + FIRST_LOG_SCALE)
        below = torch.cat([torch.zeros(1).double(), torch.sigmoid(ends), torch.ones(1).double()])
        torch.testing.assert_close(p.double(), below.diff(), rtol=1e-3, atol=1e-7)


def test_discretised_logistics_with_correlated_noise_give_all_images_a_probability_of_one() -> None:
    """All 65,536 images of one pixel with two channels."""
    images = torch.cartesian_prod(torch.arange(256), torch.arange(256)).view(-1, 2, 1, 1) / 255
    output = torch.tensor([0.2, -0.1, 0.3, -0.4]).view(4, 1, 1).expand(65536, 4, 1, 1)
    noise = BlockNoise((2, 1, 1), 1)
    torch.nn.init.constant_(noise.weight, 0.8)
    with torch.no_grad():
        nll = negative_log_likelihood("discretised_logistic", output, images, noise=noise)
        alone = negative_log_likelihood("discretised_logistic", output, images)
    p, independent = torch.exp(-nll.double()).view(256, 256), torch.exp(-alone.double()).view(256, 256)
    assert p.sum().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(independent, independent.sum(1, keepdim=True) * independent.sum(0), rtol=1e-3, atol=1e-9)
    assert (p / (p.sum(1, keepdim=True) * p.sum(0)) - 1).abs().max() > 1


def test_correlated_noise_moves_the_mean_by_the_prediction() -> None:
    """The first of two channels is 0.6 above its mean, so that a weight of 0.5 moves the mean of the second by 0.3."""
    x, output = torch.full((1, 2, 1, 1), 0.8), torch.zeros(1, 4, 1, 1)
    noise = BlockNoise((2, 1, 1), 1)
    with torch.no_grad():
        apart = negative_log_likelihood("discretised_logistic", output, x, noise=noise)
        torch.nn.init.constant_(noise.weight, 0.5)
        together = negative_log_likelihood("discretised_logistic", output, x, noise=noise)
    moved = torch.tensor([0.0, 0.3, 0.0, 0.0]).view(1, 4, 1, 1)
    torch.testing.assert_close(together, negative_log_likelihood("discretised_logistic", moved, x))
    assert together < apart


def test_a_discretised_logistic_needs_a_mean_and_a_scale_and_its_bits_are_those_of_levels() -> None:
    assert num_outputs("discretised_logistic", 3) == 6
    assert num_outputs("gaussian", 3) == 3
    wide = torch.tensor([0.0, 20.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)  # the two extreme levels share all probability
    torch.testing.assert_close(mean_image("discretised_logistic", wide), torch.full((1, 1, 4, 4), 0.5))
    nll = negative_log_likelihood("discretised_logistic", wide, torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(bits_per_dim("discretised_logistic", nll, 16), torch.ones(1))
