"""What a linear classifier reads off features that were learned without labels.

Shapes: N and M samples, F features.
"""

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor


def linear_probe(x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, max_iter: int = 300) -> float:
    """Accuracy on (M, F) and (M,) of a logistic regression fitted to (N, F) and (N,).

    Features are brought to zero mean and unit deviation by those of `x`; scikit-learn's usual L2 penalty (C = 1).
    """
    mean, std = x.mean(0), x.std(0).clamp(min=1e-8)
    model = LogisticRegression(max_iter=max_iter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights do not change what is said
        model.fit(((x - mean) / std).numpy(), y.numpy())
    return float(model.score(((x_test - mean) / std).numpy(), y_test.numpy()))


def principal_components(x: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Mean (F,) of samples (N, F) and their first orthonormal directions (min(num, F), F), by the covariance's eigenvectors."""
    mean = x.mean(0)
    centred = (x - mean).double()  # in single precision eigh may not converge where samples are few
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return mean, vectors.flip(1)[:, :num].T.to(x.dtype)
