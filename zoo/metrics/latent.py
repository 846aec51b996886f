"""Metrics of latent variable models: bounds on log p(x), and the latent dimensions in use.

Shapes: B images, N images of a whole split, Z latent dimensions, K importance samples.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import ZooError


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


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Count the dimensions of posterior means (N, Z) whose variance over images exceeds `threshold` (Burda et al., 2016)."""
    return int((means.var(0) > threshold).sum())
