"""Quality and diversity of generated samples, computed from a network's features or predicted classes.

Shapes: N real samples, M generated samples, F features, K modes or classes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

MIN_SHARE = 0.4  # a mode counts as found from this fraction of an equal share: 5 % of all samples with 8 modes, 4 % with 10


class PrecisionRecall(NamedTuple):
    """Precision and recall of generated samples."""

    precision: float  # share of generated samples that lie among the real ones
    recall: float  # share of real samples that lie among the generated ones


def precision_recall(real: Tensor, fake: Tensor, num_neighbours: int = 3) -> PrecisionRecall:
    """Compute precision and recall of features (N, F) and (M, F) (Kynkaanniemi et al., 2019, arXiv:1904.06991).

    A sample lies among a set if it is at most as far from some member as that member's k-th nearest neighbour within the set.
    Both numbers depend on N and M.
    """
    return PrecisionRecall(_share_within(fake, real, num_neighbours), _share_within(real, fake, num_neighbours))


class DensityCoverage(NamedTuple):
    """Density and coverage of generated samples."""

    density: float  # mean number of real neighbourhoods around a generated sample, divided by k; 1 for real samples
    coverage: float  # share of real neighbourhoods that hold a generated sample


def density_coverage(real: Tensor, fake: Tensor, num_neighbours: int = 5) -> DensityCoverage:
    """Compute density and coverage of features (N, F) and (M, F) (Naeem et al., 2020, arXiv:2002.09797).

    The neighbourhood of a real sample reaches to its k-th nearest real neighbour. A generated outlier cannot enlarge these
    neighbourhoods, unlike those of recall. Coverage depends on N and M: with N = M, it is 1 - 1 / 2^k for real samples.
    """
    inside = [torch.cdist(x, fake) <= radius[:, None] for x, radius in _neighbourhoods(real, num_neighbours)]
    density = sum(int(part.sum()) for part in inside) / (num_neighbours * len(fake))
    return DensityCoverage(density, torch.cat([part.any(1) for part in inside]).float().mean().item())


def frechet_of_features(real: Tensor, fake: Tensor) -> float:
    """Compute the Frechet distance between Gaussians fitted to features (N, F) and (M, F) (arXiv:1706.08500)."""
    a, b = real.double(), fake.double()
    cov_a, cov_b = a.T.cov(), b.T.cov()
    eigenvalues = torch.linalg.eigvals(cov_a @ cov_b)
    spread = cov_a.trace() + cov_b.trace() - 2 * eigenvalues.sqrt().real.sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)


def kernel_distance(real: Tensor, fake: Tensor, subset_size: int = 1000, num_subsets: int = 50) -> float:
    """Compute the squared maximum mean discrepancy of features with the kernel (a b / F + 1)^3, averaged over subsets.

    With Inception features this is KID (Binkowski et al., 2018, arXiv:1801.01401). It is unbiased and may be negative.
    """
    generator = torch.Generator().manual_seed(0)
    size = min(subset_size, len(real), len(fake))
    values = []
    for _ in range(num_subsets if size < max(len(real), len(fake)) else 1):  # the only subset is the whole set
        a, b = (x[torch.randperm(len(x), generator=generator)[:size]] for x in (real, fake))
        values.append(poly_mmd(a, b))
    return torch.stack(values).mean().item()


def classifier_score(logits: Tensor) -> float:
    """Compute exp of the mean KL from each sample's class probabilities to their average, from logits (M, K).

    The worst score is 1, the best K. With Inception as the classifier this is the Inception Score (Salimans et al., 2016,
    arXiv:1606.03498), here computed without splits.
    """
    log_p = logits.double().log_softmax(1)
    log_mean = log_p.exp().mean(0).clamp(min=1e-300).log()
    return (log_p.exp() * (log_p - log_mean)).sum(1).mean().exp().item()


def shares(labels: Tensor, num_modes: int) -> Tensor:
    """Compute the share of each mode from labels (M,): (K,). Negative labels mean no mode and are left out."""
    found = labels[labels >= 0]
    return torch.bincount(found, minlength=num_modes) / max(1, len(found))


def count_modes(share: Tensor) -> int:
    """Count the modes whose share (K,) is at least `MIN_SHARE` of an equal share."""
    return int((share >= MIN_SHARE / len(share)).sum())


def overlap(labels: Tensor, num_modes: int) -> float:
    """Compute how much of labels (M,) an equal share for each mode covers: the sum of min(share of all labels, 1 / K).

    It is 1 minus the total variation distance from equal shares. Negative labels mean no mode; they count as a share of their
    own that should be 0. So 1 needs samples that all belong to modes, and modes that all receive as many.
    """
    return (torch.bincount(labels[labels >= 0], minlength=num_modes) / len(labels)).clamp(max=1 / num_modes).sum().item()


def divergence(share: Tensor, real_share: Tensor) -> float:
    """Compute the KL divergence of the generated shares from the real ones in nats, both (K,).

    It is infinite if a generated mode does not occur in the real data.
    """
    return torch.xlogy(share, share / real_share)[share > 0].sum().item()


def combined(share: Tensor) -> Tensor:
    """Compute the shares of all combinations of C independent parts with K modes each: (C, K) to (K^C,).

    The index of a combination has its parts as digits in base K. The first part is the last digit.
    """
    product = torch.ones(1)
    for part in share:
        product = torch.outer(part, product).flatten()
    return product


def modes_of_points(x: Tensor, centres: Tensor, spread: float, within: float = 3.0) -> Tensor:
    """Return the index of the nearest centre (K, F) for each point (M, F): (M,).

    Points farther than `within` standard deviations `spread` from it get -1.
    """
    distance, label = torch.cdist(x, centres).min(1)
    return torch.where(distance <= within * spread, label, -1)


def nearest(x: Tensor, among: Tensor, num: int) -> Tensor:
    """Return the indices of the rows of `among` (N, F) nearest to each row of x (M, F), the nearest first: (M, num)."""
    return torch.cat([torch.cdist(part, among).topk(num, largest=False).indices for part in torch.split(x, 1000)])


def _share_within(x: Tensor, among: Tensor, num_neighbours: int) -> float:
    """Compute the share of samples x (M, F) that lie among the samples (N, F)."""
    radius = torch.cat([radius for _, radius in _neighbourhoods(among, num_neighbours)])
    inside = [(torch.cdist(part, among) <= radius).any(1) for part in torch.split(x, 1000)]
    return torch.cat(inside).float().mean().item()


def _neighbourhoods(x: Tensor, num_neighbours: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over parts of the samples x (N, F), each with the distances to its k-th nearest neighbours in x.

    If there are fewer neighbours, the distance is that to the farthest one.
    """
    place = min(num_neighbours + 1, len(x))  # the nearest neighbour of each sample is the sample itself
    for part in torch.split(x, 1000):
        yield part, torch.cdist(part, x).kthvalue(place, dim=1).values
