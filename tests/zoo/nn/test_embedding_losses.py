"""Losses and miners of embeddings against loops over all pairs and triplets, closed forms, and gradients at distance 0."""

import math
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.nn.embedding_losses import (
    MINING,
    contrastive_loss,
    mean_where,
    mine_triplets,
    other_class,
    pairwise_distances,
    same_class,
    triplet_loss,
)

Y = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])  # the last sample has no positive
TRIPLETS = [(a, p, n) for a, p, n in product(range(9), repeat=3) if a != p and Y[a] == Y[p] and Y[a] != Y[n]]


@pytest.fixture
def z() -> Tensor:
    return torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def chosen(distance: Tensor, mining: Any, y: Tensor = Y) -> list[tuple[float, float]]:
    positive, negative, exists = mine_triplets(distance, y, mining)
    assert positive.shape == negative.shape == exists.shape
    return sorted(zip(positive[exists].tolist(), negative[exists].tolist(), strict=True))


def test_distances_are_euclidean(z: Tensor) -> None:
    by_hand = torch.tensor([[math.dist(a, b) for b in z.tolist()] for a in z.tolist()], dtype=torch.float64)
    torch.testing.assert_close(pairwise_distances(z), by_hand)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_distances_of_halves_are_in_single_precision(z: Tensor, dtype: torch.dtype) -> None:
    assert pairwise_distances(z.to(dtype)).dtype == torch.float32


def test_small_distances_keep_their_digits() -> None:
    """The usual expansion |a|^2 - 2 a b + |b|^2 would give 0 here."""
    z = torch.tensor([[1.0, 0.0], [1.0, 1e-4]])
    assert pairwise_distances(z)[0, 1].item() == pytest.approx(1e-4, rel=1e-6)


def test_the_gradient_at_distance_zero_is_zero() -> None:
    z = torch.ones(4, 3, requires_grad=True)
    pairwise_distances(z).sum().backward()
    assert z.grad is not None
    assert z.grad.equal(torch.zeros(4, 3))


def test_masks_pair_different_samples() -> None:
    for i, j in product(range(9), repeat=2):
        assert same_class(Y)[i, j] == (i != j and Y[i] == Y[j])
        assert other_class(Y)[i, j] == (Y[i] != Y[j])


def test_all_triplets_are_those_of_three_loops(z: Tensor) -> None:
    d = pairwise_distances(z)
    assert chosen(d, "all") == sorted((d[a, p].item(), d[a, n].item()) for a, p, n in TRIPLETS)


def test_batch_hard_takes_the_worst_of_each_anchors_triplets(z: Tensor) -> None:
    d, by_hand = pairwise_distances(z), []
    for anchor in range(8):
        own = [(d[a, p].item(), d[a, n].item()) for a, p, n in TRIPLETS if a == anchor]
        by_hand.append((max(p for p, _ in own), min(n for _, n in own)))
    assert chosen(d, "batch_hard") == sorted(by_hand)


def test_semi_hard_takes_the_nearest_negative_beyond_the_positive(z: Tensor) -> None:
    d, by_hand = pairwise_distances(z), []
    for anchor, positive in sorted({(a, p) for a, p, _ in TRIPLETS}):
        negatives = [d[a, n].item() for a, p, n in TRIPLETS if (a, p) == (anchor, positive)]
        beyond = [n for n in negatives if n > d[anchor, positive]]
        by_hand.append((d[anchor, positive].item(), min(beyond) if beyond else max(negatives)))
    assert chosen(d, "semi_hard") == sorted(by_hand)
    assert {len(beyond) > 0 for beyond in [[n for n in d[a][Y[a] != Y].tolist() if n > d[a, p]] for a, p, _ in TRIPLETS]} == {
        True,
        False,
    }  # both cases occur


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("y", [torch.zeros(4, dtype=torch.long), torch.arange(4)], ids=["one class", "all different"])
def test_without_triplets_the_loss_is_zero_and_so_is_its_gradient(mining: Any, y: Tensor) -> None:
    z = torch.randn(4, 3, requires_grad=True)
    positive, negative, exists = mine_triplets(pairwise_distances(z), y, mining)
    assert not exists.any()
    loss = mean_where(triplet_loss(positive, negative, 0.2), exists)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert z.grad.equal(torch.zeros(4, 3))


def test_an_unknown_mining_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown mining 'easy': choose one of batch_hard, semi_hard, all"):
        mine_triplets(torch.zeros(2, 2), torch.zeros(2), "easy")  # type: ignore[arg-type]  # wrong on purpose


def test_the_triplet_loss_equals_torchs(z: Tensor) -> None:
    a, p, n = (torch.tensor(rows) for rows in zip(*TRIPLETS, strict=True))
    d = pairwise_distances(z)
    oracle = F.triplet_margin_loss(z[a], z[p], z[n], margin=0.7, eps=0, reduction="none")
    torch.testing.assert_close(triplet_loss(d[a, p], d[a, n], 0.7), oracle)


def test_the_soft_margin_is_the_softplus_of_the_difference() -> None:
    p, n = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 0.5, 90.0])
    expected = [math.log(2), math.log1p(math.exp(1.5)), math.log1p(math.exp(-90))]
    assert triplet_loss(p, n, None).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("d", "similar", "loss"), [(0.5, 1, 0.25), (2.0, 1, 4.0), (0.25, 0, 0.5625), (1.0, 0, 0.0), (3.0, 0, 0.0), (0.0, 0, 1.0)]
)
def test_the_contrastive_loss_by_hand(d: float, similar: int, loss: float) -> None:
    assert contrastive_loss(torch.tensor(d), torch.tensor(similar), margin=1.0).item() == pytest.approx(loss)


def test_dissimilar_samples_at_the_same_place_get_a_finite_gradient() -> None:
    z = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.5, 2.0]], requires_grad=True)
    contrastive_loss(pairwise_distances(z), torch.eye(3), margin=1.0).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad[2, 0] < 0  # gradient descent pushes it away from the others


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("margin", [0.3, None])
def test_gradients_of_the_triplet_loss(mining: Any, margin: float | None, z: Tensor) -> None:
    def loss(z: Tensor) -> Tensor:
        positive, negative, exists = mine_triplets(pairwise_distances(z), Y, mining)
        return mean_where(triplet_loss(positive, negative, margin), exists)

    assert torch.autograd.gradcheck(loss, z.requires_grad_())


def test_gradients_of_the_contrastive_loss(z: Tensor) -> None:
    assert torch.autograd.gradcheck(lambda z: contrastive_loss(pairwise_distances(z), same_class(Y), 1.3), z.requires_grad_())


@pytest.mark.parametrize("mining", MINING)
def test_collapsed_embeddings_cost_the_margin(mining: Any) -> None:
    """All distances are 0. The gradient is 0 too: a system that has collapsed completely stays where it is."""
    z = torch.full((9, 3), 0.6, requires_grad=True)
    positive, negative, exists = mine_triplets(pairwise_distances(z), Y, mining)
    loss = mean_where(triplet_loss(positive, negative, 0.2), exists)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert mean_where(triplet_loss(positive, negative, None), exists).item() == pytest.approx(math.log(2))
    assert z.grad is not None
    assert not z.grad.any()


def test_the_losses_and_miners_of_pytorch_metric_learning_agree(z: Tensor) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="needs pytorch-metric-learning")
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    reducers = pytest.importorskip("pytorch_metric_learning.reducers")
    euclidean = distances.LpDistance(normalize_embeddings=False)
    d = pairwise_distances(z)
    theirs = losses.TripletMarginLoss(margin=0.7, distance=euclidean, reducer=reducers.MeanReducer())
    positive, negative, exists = mine_triplets(d, Y, "all")
    torch.testing.assert_close(mean_where(triplet_loss(positive, negative, 0.7), exists), theirs(z, Y))
    positive, negative, exists = mine_triplets(d, Y, "batch_hard")
    hard = miners.BatchHardMiner(distance=euclidean)(z, Y)
    torch.testing.assert_close(mean_where(triplet_loss(positive, negative, 0.7), exists), theirs(z, Y, hard))
    # Theirs averages over the pairs that cost something, and sums both kinds.
    power = losses.ContrastiveLoss(pos_margin=0, neg_margin=1.5, distance=euclidean, reducer=reducers.DoNothingReducer())
    found = power(z, Y)
    pairs = {kind: found[f"{kind}_loss"] for kind in ("pos", "neg")}
    for kind, mask in (("pos", same_class(Y)), ("neg", other_class(Y))):
        ours = contrastive_loss(d, same_class(Y), 1.5)[mask]
        torch.testing.assert_close(ours, pairs[kind]["losses"].square())  # theirs is not squared
