"""Losses of embeddings: distances, contrastive and triplet loss, and the choice of triplets within a batch.

Losses take distances, and keep one value per pair or triplet. Distances are Euclidean, not squared.

Shapes: B samples, D embedding size.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import check_choice

Mining = Literal["batch_hard", "semi_hard", "all"]
MINING = get_args(Mining)


def pairwise_distances(z: Tensor) -> Tensor:
    """Compute Euclidean distances between embeddings (B, D): (B, B) in at least float32.

    Their gradient at distance 0 is 0. A square root of the squared distance would have the gradient NaN there.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    # Differences, because a difference of products has few correct digits where distances are small.
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")


def same_class(y: Tensor) -> Tensor:
    """Mark pairs of different samples with equal classes (B,): (B, B) bool."""
    return (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool, device=y.device)


def other_class(y: Tensor) -> Tensor:
    """Mark pairs of samples with different classes (B,): (B, B) bool."""
    return y[:, None] != y


def contrastive_loss(distance: Tensor, similar: Tensor, margin: float) -> Tensor:
    """Compute y d^2 + (1 - y) max(0, margin - d)^2 for each pair (Hadsell, Chopra & LeCun, 2006).

    Similar pairs are pulled together, and others pushed apart until their distance is `margin`. The paper writes 1 for
    dissimilar pairs, and halves both terms.

    Args:
        distance: (...) d.
        similar: (...) y, 1 or true for similar pairs.
        margin: distance from which on dissimilar pairs cost nothing.
    """
    return torch.where(similar.bool(), distance.square(), (margin - distance).clamp(min=0).square())


def triplet_loss(positive: Tensor, negative: Tensor, margin: float | None) -> Tensor:
    """Compute max(0, d(a, p) - d(a, n) + margin) for each triplet (Schroff et al., 2015, arXiv:1503.03832).

    Args:
        positive: (...) distance d(a, p) of an anchor from a sample of its class.
        negative: (...) distance d(a, n) of the anchor from a sample of another class.
        margin: how much farther the negative has to be. None: the soft margin log(1 + exp(d(a, p) - d(a, n))) of Hermans et
            al., 2017, arXiv:1703.07737, which never reaches 0.
    """
    difference = positive - negative
    return F.softplus(difference) if margin is None else (difference + margin).clamp(min=0)


def mine_triplets(distance: Tensor, y: Tensor, mining: Mining) -> tuple[Tensor, Tensor, Tensor]:
    """Choose triplets within a batch, given distances (B, B) and classes (B,).

    - batch_hard: one triplet for each anchor, with its farthest positive and its nearest negative (Hermans et al., 2017).
    - semi_hard: one triplet for each anchor and positive, with the nearest negative that is farther than the positive (Schroff
      et al., 2015), or with the farthest negative if there is none, as in TensorFlow Addons.
    - all: every triplet. Most of them soon cost nothing, and their mean is small.

    Returns:
        Distances d(a, p) and d(a, n), and whether the triplet exists: (B,), (B, B) or (B, B, B) each, with the anchor, the
        positive and the negative as dimensions. Shapes do not depend on the classes.

    Raises:
        ZooError: if `mining` is unknown.
    """
    check_choice("mining", mining, MINING)
    same, other = same_class(y), other_class(y)
    if mining == "batch_hard":
        positive = distance.masked_fill(~same, -1).amax(1)
        negative = distance.masked_fill(~other, torch.inf).amin(1)
        exists = same.any(1) & other.any(1)
    elif mining == "semi_hard":
        farther = other[:, None, :] & (distance[:, None, :] > distance[:, :, None])  # (anchor, positive, negative)
        nearest = distance[:, None, :].masked_fill(~farther, torch.inf).amin(2)
        farthest = distance.masked_fill(~other, -1).amax(1, keepdim=True)
        positive, negative = distance, torch.where(farther.any(2), nearest, farthest)
        exists = same & other.any(1, keepdim=True)
    else:
        positive, negative = (torch.broadcast_to(part, (len(y),) * 3) for part in (distance[:, :, None], distance[:, None, :]))
        exists = same[:, :, None] & other[:, None, :]
    # Zeros stand for triplets that do not exist, because an infinite distance would make gradients NaN.
    return positive.where(exists, 0), negative.where(exists, 0), exists


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Average the chosen values: 0-d, and 0 if none is chosen."""
    return values.where(chosen, 0).sum() / chosen.sum().clamp(min=1)
