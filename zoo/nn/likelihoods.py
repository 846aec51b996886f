"""Likelihoods of pixels given a decoder's output, in nats.

Shapes: C channels, H height, W width. `output` is a network's output, of any range.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import check_choice

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian", "discretised_logistic"]
LEAST_LOGVAR = math.log(1 / 255**2 / 12)  # the variance of rounding to 8 bits
LARGEST_LOGIT = 2 * 255  # a continuous Bernoulli with this logit has its mean half an 8-bit step away from 0 or 1
FIRST_LOG_SCALE = -1.5  # of a logistic of pixels in [-1, 1], where the output is 0: about the deviation of photographs
LEAST_LOG_SCALE = -7.0  # Salimans et al., 2017


def check_likelihood(likelihood: str) -> None:
    """Check the name of a likelihood.

    Raises:
        ZooError: if it is unknown.
    """
    check_choice("likelihood", likelihood, get_args(Likelihood))


def num_outputs(likelihood: Likelihood, num_channels: int) -> int:
    """Return the number of channels of `output` for images of C channels: 2 C for logistics, which have scales, else C."""
    return 2 * num_channels if likelihood == "discretised_logistic" else num_channels


def negative_log_likelihood(
    likelihood: Likelihood,
    output: Tensor,
    x: Tensor,
    logvar: Tensor | None = None,
    noise: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Compute -log p(x | output) in nats, summed over pixels: (..., C, H, W) and images x that broadcast to it, to (...).

    For the discretised logistic `output` is (..., 2 C, H, W), see `num_outputs`.

    - "bernoulli": `output` holds logits. This is a likelihood of binary pixels only. On grey pixels it is a customary score,
      not a bound on log p(x).
    - "continuous_bernoulli" (Loaiza-Ganem & Cunningham, 2019, arXiv:1907.06845): `output` holds logits; pixels lie in [0, 1].
      Logits are bounded smoothly by LARGEST_LOGIT, because the density of pixels at exactly 0 or 1 is unbounded otherwise.
    - "gaussian": `output` is the mean and `logvar` the logarithm of the variance, one number for all pixels. None is a variance
      of 1. `logvar` is clamped to LEAST_LOGVAR, because the density of perfectly copied images is unbounded otherwise.
    - "discretised_logistic" (Kingma et al., 2016, arXiv:1606.04934): the probability of 8-bit pixels k / 255. `output` holds a
      mean and a scale for each of them. With `noise`, the noise is correlated (Dorta et al., 2018, arXiv:1802.07079): this
      function predicts each value of x - mean from earlier ones, and the prediction is added to the mean.
    """
    if likelihood == "discretised_logistic":
        return _discretised_logistic(output.float(), x, noise)
    if likelihood == "bernoulli":
        nll = F.binary_cross_entropy_with_logits(output, x.expand_as(output), reduction="none")
    elif likelihood == "continuous_bernoulli":
        output = _bounded(output)
        nll = F.binary_cross_entropy_with_logits(output, x.expand_as(output), reduction="none") - _log_normaliser(output)
    else:
        logvar = torch.zeros_like(output[..., :1, :1, :1]) if logvar is None else logvar
        logvar = logvar.clamp(min=LEAST_LOGVAR)
        nll = 0.5 * ((x - output).square() * torch.exp(-logvar) + logvar + math.log(2 * math.pi))
    return nll.flatten(-3).sum(-1)


def mean_image(likelihood: Likelihood, output: Tensor) -> Tensor:
    """Compute the expected image E[x | output]: (..., C, H, W), in [0, 1].

    The means of discretised logistics are those before the tails are moved to the lowest and highest value.
    """
    if likelihood == "bernoulli":
        return torch.sigmoid(output)
    if likelihood == "continuous_bernoulli":
        logits = _bounded(output)
        small = logits.abs() < 0.1
        safe = torch.where(small, 1.0, logits)
        return torch.where(small, 0.5 + logits / 12 - logits**3 / 720, 1 / -torch.expm1(-safe) - 1 / safe)
    if likelihood == "discretised_logistic":
        return ((output.chunk(2, -3)[0] + 1) / 2).clamp(0, 1)
    return output.clamp(0, 1)


def bits_per_dim(likelihood: Likelihood, nats: Tensor, num_dims: int) -> Tensor:
    """Convert nats of whole images to bits per pixel and channel.

    Densities are those of pixels in [0, 1] with 256 levels, so 8 bits are added. Without dequantisation noise the result is a
    score, not a bound (Theis, van den Oord & Bethge, 2016, arXiv:1511.01844). Discretised logistics give probabilities of the
    256 levels, so nothing is added and the result is a bound.
    """
    return nats / (num_dims * math.log(2)) + (0 if likelihood in ("bernoulli", "discretised_logistic") else 8)


def _discretised_logistic(output: Tensor, x: Tensor, noise: Callable[[Tensor], Tensor] | None) -> Tensor:
    """Compute -log p of 8-bit images, (...): of each pixel's interval, and of a whole tail for the lowest and highest value.

    With F the logistic function, F(a) - F(b) = F(a) F(-b) (1 - exp(b - a)), whose logarithm is accurate for all a > b.
    """
    x, half = 2 * x - 1, 1 / 255
    mean, log_scale = output.chunk(2, -3)
    if noise is not None:
        mean = mean + noise(x - mean)
    precision = torch.exp(-(log_scale + FIRST_LOG_SCALE).clamp(min=LEAST_LOG_SCALE))
    lowest, highest = x < half - 1, x > 1 - half
    below_end = F.logsigmoid((x - mean + half) * precision).masked_fill(highest, 0.0)
    above_start = F.logsigmoid((mean - x + half) * precision).masked_fill(lowest, 0.0)
    width = torch.log(-torch.expm1(-2 * half * precision)).masked_fill(lowest | highest, 0.0)
    return -(below_end + above_start + width).flatten(-3).sum(-1)


def _bounded(logits: Tensor) -> Tensor:
    """Bound logits smoothly, so that every logit keeps a gradient."""
    return LARGEST_LOGIT * torch.tanh(logits.float() / LARGEST_LOGIT)


def _log_normaliser(logits: Tensor) -> Tensor:
    """Compute log(2 artanh(1 - 2p) / (1 - 2p)), which is log(l / tanh(l / 2)) for logits l.

    torch.distributions clamps p and therefore stops at |l| = 15.9.
    """
    small = logits.abs() < 0.1
    safe = torch.where(small, 1.0, logits)
    return torch.where(small, math.log(2) + logits**2 / 12 - 7 * logits**4 / 1440, torch.log(safe / torch.tanh(safe / 2)))
