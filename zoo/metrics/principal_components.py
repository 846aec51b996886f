"""Principal component analysis.

Shapes: N samples, F features.
"""

import torch
from torch import Tensor


def principal_components(x: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Compute the mean (F,) of samples (N, F) and their first principal directions (min(num, F), F), orthonormal rows."""
    mean = x.mean(0)
    centred = (x - mean).double()  # with few samples eigh may not converge in single precision
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return mean, vectors.flip(1)[:, :num].T.to(x.dtype)
