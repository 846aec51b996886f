"""Retrieval within a set of embeddings: are the nearest neighbours of a sample of its class?

Every sample is a query, and all others are its gallery (leave-one-out), so classes need not be known from training. Distances
are Euclidean. For embeddings of length 1 they rank as cosine similarity does. A tie counts against the query: a sample of
another class at the same distance comes first, so that collapsed embeddings, all of them equal, score 0. Samples that are alone
in their class have no right answer and are no queries. Without queries a score is NaN.

Shapes: N samples, D embedding size, Q queries at once.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

NUM_NEIGHBOURS = 5  # that vote in `knn_accuracy`
_AT_ONCE = 1 << 24  # distances in memory, 64 MB


def nearest_samples(z: Tensor, y: Tensor, num: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the nearest other samples of each sample, in chunks, so that no N x N matrix is in memory.

    Args:
        z: (N, D) embeddings.
        y: (N,) classes, which decide ties.
        num: neighbours of each sample; at most N - 1 are returned.

    Yields:
        Rows of queries (Q,), and rows of their neighbours (Q, min(num, N - 1)), the nearest first.
    """
    z = (z - z.mean(0)).float()  # Distances stay as they are, and small numbers lose fewer digits.
    squares = z.square().sum(1)
    for rows in torch.split(torch.arange(len(z), device=z.device), max(1, _AT_ONCE // max(len(z), 1))):
        # |a - b|^2 = |a|^2 - (2 a b - |b|^2), and |a|^2 is the same for all neighbours.
        nearness = 2 * z[rows] @ z.T - squares
        lower = torch.nextafter(nearness, torch.full_like(nearness, -torch.inf))
        nearness = torch.where(y[rows, None] == y, lower, nearness)
        nearness[torch.arange(len(rows)), rows] = -torch.inf
        yield rows, nearness.topk(min(num, len(z) - 1), dim=1).indices


def recall_at_1(z: Tensor, y: Tensor) -> Tensor:
    """Compute the share of queries whose nearest neighbour has their class, from embeddings (N, D) and classes (N,): 0-d."""
    if not len(queries := _others_of_class(y).nonzero()):
        return torch.tensor(torch.nan)
    right = torch.cat([y[found[:, 0]] == y[rows] for rows, found in nearest_samples(z, y, 1)])
    return right[queries[:, 0]].float().mean()


def map_at_r(z: Tensor, y: Tensor) -> Tensor:
    """Compute the mean average precision at R, from embeddings (N, D) and classes (N,): 0-d.

    R is the number of other samples of a query's class. Its score is the sum, over the right ones among its R nearest
    neighbours, of the precision at their rank, divided by R (Musgrave, Belongie & Lim, 2020, arXiv:2003.08505, section 3.2).
    It is 1 if and only if all R are right. Unlike recall@1, it sees whether a class is in one piece.
    """
    others = _others_of_class(y)
    if not len(queries := others.nonzero()):
        return torch.tensor(torch.nan)
    scores = []
    for rows, found in nearest_samples(z, y, int(others.max())):
        rank = torch.arange(1, found.shape[1] + 1, device=y.device)
        right = (y[found] == y[rows, None]) & (rank <= others[rows, None])
        precision = right.cumsum(1) / rank
        scores.append((precision * right).sum(1) / others[rows].clamp(min=1))
    return torch.cat(scores)[queries[:, 0]].mean()


def knn_accuracy(z: Tensor, y: Tensor, num_neighbours: int = NUM_NEIGHBOURS) -> Tensor:
    """Compute the accuracy of a vote among the nearest neighbours, from embeddings (N, D) and classes (N,): 0-d.

    Of several classes with most votes, the one with the nearest neighbour wins.
    """
    if not len(queries := _others_of_class(y).nonzero()):
        return torch.tensor(torch.nan)
    right = []
    for rows, found in nearest_samples(z, y, num_neighbours):
        labels = y[found]
        votes = (labels[:, :, None] == labels[:, None, :]).sum(2)
        num = labels.shape[1]
        winner = (votes * num - torch.arange(num, device=y.device)).argmax(1)
        right.append(labels.gather(1, winner[:, None])[:, 0] == y[rows])
    return torch.cat(right)[queries[:, 0]].float().mean()


def _others_of_class(y: Tensor) -> Tensor:
    """Count the other samples of each sample's class, (N,)."""
    _, number, counts = torch.unique(y, return_inverse=True, return_counts=True)
    return counts[number] - 1


class OfEmbeddings(Metric):
    """Score of all embeddings of a split, from all batches and processes, by one of the functions above."""

    full_state_update = False
    embeddings: list[Tensor]
    classes: list[Tensor]

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.score = score
        self.add_state("embeddings", [], dist_reduce_fx="cat")
        self.add_state("classes", [], dist_reduce_fx="cat")

    def update(self, z: Tensor, y: Tensor) -> None:
        """Add embeddings (B, D) and classes (B,)."""
        self.embeddings.append(z.detach().float())
        self.classes.append(y)

    def compute(self) -> Tensor:
        z = dim_zero_cat(self.embeddings)
        return self.score(z, dim_zero_cat(self.classes)).to(z)


def retrieval() -> dict[str, Metric | MetricCollection]:
    """Build recall@1, MAP@R and the accuracy of 5 nearest neighbours, from embeddings (B, D) and classes (B,)."""
    scores = {"recall@1": recall_at_1, "map@r": map_at_r, "knn_acc": knn_accuracy}
    return {name: OfEmbeddings(score) for name, score in scores.items()}
