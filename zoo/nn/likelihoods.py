"""What a decoder's output says of an image: likelihoods of pixels, in nats.

Shapes: B batch, C H W image. `output` is what a network gives, of any range.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import check_choice

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian"]


LEAST_LOGVAR = math.log(1 / 255**2 / 12)  # what rounding to 8 bits adds
LARGEST_LOGIT = 2 * 255  # a continuous Bernoulli of this logit has its mean half a step of 8 bits away from 0 or 1


def check_likelihood(likelihood: str) -> None:
    """Refuse the name of no likelihood.

    Raises:
        ZooError: naming those there are.
    """
    check_choice("likelihood", likelihood, get_args(Likelihood))


def negative_log_likelihood(likelihood: Likelihood, output: Tensor, x: Tensor, logvar: Tensor | None = None) -> Tensor:
    """-log p(x | output) in nats, summed over pixels: (..., C, H, W) and images that broadcast with it to (...).

    "bernoulli": `output` are logits. A likelihood of binary pixels only; on grey ones it is the customary score, and no bound
    on log p(x). "continuous_bernoulli" (Loaiza-Ganem & Cunningham, 2019, arXiv:1907.06845) is one of pixels in [0, 1];
    logits approach LARGEST_LOGIT at most, or pixels of exactly 0 or 1 would have a density without bound.
    "gaussian": `output` is the mean, `logvar` the logarithm of the variance, one number; None is a variance of 1. It counts for
    LEAST_LOGVAR at least, or images that can be copied would have a density without bound.
    """
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
    """E[x | output] (..., C, H, W), in [0, 1]."""
    if likelihood == "bernoulli":
        return torch.sigmoid(output)
    if likelihood == "continuous_bernoulli":
        logits = _bounded(output)
        small = logits.abs() < 0.1
        safe = torch.where(small, 1.0, logits)
        return torch.where(small, 0.5 + logits / 12 - logits**3 / 720, 1 / -torch.expm1(-safe) - 1 / safe)
    return output.clamp(0, 1)


def bits_per_dim(likelihood: Likelihood, nats: Tensor, num_dims: int) -> Tensor:
    """Nats of whole images as bits per pixel and channel.

    Densities are taken of pixels in [0, 1] that have 256 steps, so that 8 bits are added; without dequantisation noise this
    is a score, not a bound (Theis, van den Oord & Bethge, 2016, arXiv:1511.01844).
    """
    return nats / (num_dims * math.log(2)) + (0 if likelihood == "bernoulli" else 8)


def _bounded(logits: Tensor) -> Tensor:
    """Smoothly, so that every logit keeps a gradient."""
    return LARGEST_LOGIT * torch.tanh(logits.float() / LARGEST_LOGIT)


def _log_normaliser(logits: Tensor) -> Tensor:
    """Log of 2 artanh(1 - 2p) / (1 - 2p), which is l / tanh(l / 2) in logits l. torch's clamps p: it stops at |l| = 15.9."""
    small = logits.abs() < 0.1
    safe = torch.where(small, 1.0, logits)
    return torch.where(small, math.log(2) + logits**2 / 12 - 7 * logits**4 / 1440, torch.log(safe / torch.tanh(safe / 2)))
