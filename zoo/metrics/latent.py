"""Metrics of latent variable models: bounds on log p(x), and the latent dimensions in use.

Shapes: B images, N images of a whole split, M images of a subset, Z latent dimensions, K importance samples, R draws.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError


def importance_weighted(log_weights: Tensor) -> Tensor:
    """Compute log (1/K) sum_k w_k from log weights (K, B): (B,). With K = 1 it is the log weight itself."""
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def importance_weighted_bound(log_weights: Callable[[int], Tensor], num_samples: int, at_once: int = 100) -> Tensor:
    """Compute log (1/K) sum_k p(x, z_k) / q(z_k|x), a lower bound on log p(x) that rises with K: (B,), in nats.

    Burda, Grosse & Salakhutdinov, 2016, arXiv:1509.00519, equation 8. With K = 1 it is a single-sample estimate of the ELBO.

    Args:
        log_weights: function that draws k samples and returns log p(x, z) - log q(z|x), (k, B).
        num_samples: K.
        at_once: samples per call of `log_weights`. It limits memory and does not change the distribution of the result.

    Raises:
        ZooError: if `num_samples` or `at_once` is below 1.
    """
    if num_samples < 1 or at_once < 1:
        raise ZooError(f"num_samples and at_once must be at least 1, got {num_samples} and {at_once}")
    total: Tensor | None = None
    for start in range(0, num_samples, at_once):
        part = log_weights(min(at_once, num_samples - start)).logsumexp(0)
        total = part if total is None else torch.logaddexp(total, part)
    assert total is not None
    return total - math.log(num_samples)


class Estimate(NamedTuple):
    """An estimated mean and its standard error."""

    mean: float
    error: float


def split_mean(elbos: Tensor, elbos_subset: Tensor, bounds: Tensor) -> Estimate:
    """Estimate the mean of a bound over a split, for which the bound is known on a random subset only.

    A subset may be easier than its split. Therefore the ELBO, which is cheap, is averaged over the split, and only its
    difference from the bound over the subset: mean(bound) = mean(ELBO) + mean over the subset of (bound - ELBO). The ELBO is a
    control variate: it varies much more between images than the difference does.

    Args:
        elbos: single-sample estimates of the ELBO of all images, (N, R).
        elbos_subset: those of the subset, (M, R).
        bounds: bounds of the subset, (M,).

    Returns:
        The mean, and the standard error from the choice of the subset and from the draws of all images.
    """
    elbos, added = elbos.double(), bounds.double() - elbos_subset.double().mean(1)
    mean = float(elbos.mean() + added.mean())
    if len(added) < 2:
        return Estimate(mean, math.nan)  # one image has no deviation
    draws = elbos.var(1).mean() / elbos.numel()
    return Estimate(mean, float((added.var() / len(added) + draws).sqrt()))


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Count the dimensions of posterior means (N, Z) whose variance over images exceeds `threshold` (Burda et al., 2016)."""
    return int((means.var(0) > threshold).sum())
