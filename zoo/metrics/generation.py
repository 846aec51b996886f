"""How good samples are and how varied, from the features and classes that a named network finds in them.

Shapes: N real and M generated samples, F features, K modes or classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

ENOUGH = 0.4  # of an even share of the samples: what a mode needs to count. 5 % of eight modes, 4 % of ten classes


class PrecisionRecall(NamedTuple):
    """Share of generated samples among the real, and of real ones among the generated."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, num_neighbours: int = 3) -> PrecisionRecall:
    """Of features (N, F) and (M, F): whether a sample is no farther from one of the others than its k-th neighbour among them.

    Kynkaanniemi et al., 2019, arXiv:1904.06991. Both depend on the numbers of samples.
    """
    return PrecisionRecall(_share_within(fake, real, num_neighbours), _share_within(real, fake, num_neighbours))


def kernel_distance(real: Tensor, fake: Tensor, subset_size: int = 1000, num_subsets: int = 50) -> float:
    """Squared maximum mean discrepancy of features with the kernel (a b / F + 1)^3, mean over subsets.

    KID (Binkowski et al., 2018, arXiv:1801.01401) where the features are Inception's. Unbiased, so that it may be below 0.
    """
    generator = torch.Generator().manual_seed(0)
    size = min(subset_size, len(real), len(fake))
    values = []
    for _ in range(num_subsets):
        a, b = (x[torch.randperm(len(x), generator=generator)[:size]] for x in (real, fake))
        values.append(poly_mmd(a, b))
    return torch.stack(values).mean().item()


def classifier_score(logits: Tensor) -> float:
    """Exp of the mean KL from each sample's classes to those of all, from logits (M, K): 1 at worst, K at best.

    The Inception Score (Salimans et al., 2016, arXiv:1606.03498) where the classifier is Inception; here without splits.
    """
    log_p = logits.double().log_softmax(1)
    of_all = log_p.exp().mean(0).clamp(min=1e-300).log()
    return (log_p.exp() * (log_p - of_all)).sum(1).mean().exp().item()


def shares(labels: Tensor, num_modes: int) -> Tensor:
    """Each mode's part of the samples that are of any: labels (M,), below 0 for none, to (K,), all 0 if no sample is."""
    of_any = labels[labels >= 0]
    return torch.bincount(of_any, minlength=num_modes) / max(1, len(of_any))


def count_modes(share: Tensor) -> int:
    """How many modes have at least `ENOUGH` of an even share."""
    return int((share >= ENOUGH / len(share)).sum())


def divergence(share: Tensor, of_real: Tensor) -> float:
    """KL from the samples' modes to the real ones', in nats: both (K,). Infinite where a sample's mode is no real one's."""
    return torch.xlogy(share, share / of_real)[share > 0].sum().item()


def combined(share: Tensor) -> Tensor:
    """Shares of the combinations of C independent parts of K modes each: (C, K) to (K^C,), the first part's the last digit."""
    of_all = torch.ones(1)
    for part in share:
        of_all = torch.outer(part, of_all).flatten()
    return of_all


def modes_of_points(x: Tensor, centres: Tensor, spread: float, within: float = 3.0) -> Tensor:
    """The nearest centre of each point, -1 where it is more than `within` deviations away: (M, F), (K, F) to (M,)."""
    distance, label = torch.cdist(x, centres).min(1)
    return torch.where(distance <= within * spread, label, -1)


def nearest(x: Tensor, among: Tensor, num: int) -> Tensor:
    """Places of the rows of `among` (N, F) that are nearest to each row of x (M, F), the nearest first: (M, num)."""
    return torch.cat([torch.cdist(part, among).topk(num, largest=False).indices for part in torch.split(x, 1000)])


def _share_within(x: Tensor, of: Tensor, num_neighbours: int) -> float:
    radius = torch.cat([torch.cdist(part, of).kthvalue(num_neighbours + 1, dim=1).values for part in torch.split(of, 1000)])
    inside = [(torch.cdist(part, of) <= radius).any(1) for part in torch.split(x, 1000)]
    return torch.cat(inside).float().mean().item()
