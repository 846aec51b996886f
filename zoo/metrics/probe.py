"""Linear probe and principal components: what a linear model can read from features.

Shapes: N training samples, M test samples, F features.
"""

import warnings

import torch
from torch import Tensor


def linear_probe(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, max_iter: int = 300) -> float:
    """Fit logistic regression to (N, F) and (N,), and return its accuracy on (M, F) and (M,).

    Features are standardised with the mean and standard deviation of `x`. The L2 penalty is scikit-learn's default (C = 1).
    """
    # scikit-learn takes a quarter of a second to import, and every `zoo fit` imports this module.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, std = x.mean(0), x.std(0).clamp(min=1e-8)
    model = LogisticRegression(max_iter=max_iter)
    with warnings.catch_warnings():
        # Iterations may end before convergence. The last digits of the weights hardly change the accuracy.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(((x - mean) / std).numpy(), y.numpy())
    return float(model.score(((x_test - mean) / std).numpy(), y_test.numpy()))


def principal_components(x: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Compute the mean (F,) of samples (N, F) and their first principal directions (min(num, F), F), orthonormal rows."""
    mean = x.mean(0)
    centred = (x - mean).double()  # eigh may not converge in single precision with few samples
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return mean, vectors.flip(1)[:, :num].T.to(x.dtype)
