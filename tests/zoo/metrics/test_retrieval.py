"""Scores of retrieval against brute force and by hand, ties, chunks, and the torchmetrics object."""

import pytest
import torch
from torch import Tensor

from zoo.metrics import retrieval as module
from zoo.metrics.retrieval import OfEmbeddings, knn_accuracy, map_at_r, nearest_samples, recall_at_1, retrieval

LINE = torch.tensor([[0.0], [1.0], [2.1], [3.3], [4.6], [6.0]])  # the nearest neighbours, in order, of each point are known


def brute_force(z: Tensor, y: Tensor, k: int) -> tuple[float, float, float]:
    """Recall@1, MAP@R and k-NN accuracy by sorting a list for each query."""
    recalls, precisions, votes = [], [], []
    for query in range(len(z)):
        others = [row for row in range(len(z)) if row != query]
        num = sum(bool(y[row] == y[query]) for row in others)
        if num == 0:
            continue
        others.sort(key=lambda row: (z[row] - z[query]).double().norm().item())
        right = [bool(y[row] == y[query]) for row in others]
        recalls.append(float(right[0]))
        precisions.append(sum(right[i] * sum(right[: i + 1]) / (i + 1) for i in range(num)) / num)
        labels = [int(y[row]) for row in others[:k]]
        winner = max(labels, key=lambda label: (labels.count(label), -labels.index(label)))
        votes.append(float(winner == y[query]))
    return tuple(sum(values) / len(values) for values in (recalls, precisions, votes))  # type: ignore[return-value]  # three values


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_once", [1 << 24, 700, 1])
def test_equals_brute_force_whatever_the_chunks(seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 7, (90,), generator=generator) ** 2  # classes of several sizes, with gaps between numbers
    y[0] = 99  # alone in its class
    z = torch.randn(90, 4, generator=generator) + y[:, None].float() / 20 + 100
    found = [score(z, y).item() for score in (recall_at_1, map_at_r, knn_accuracy)]
    assert found == pytest.approx(brute_force(z, y, 5), abs=1e-6)


def test_the_rows_of_neighbours_are_in_the_order_of_distance() -> None:
    ((rows, found),) = nearest_samples(LINE, torch.zeros(6), 3)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.tolist() == [[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 4, 1], [3, 5, 2], [4, 3, 2]]


def test_by_hand() -> None:
    """Classes a b a a b b on the line: points 0 and 1 have the wrong neighbour, so has 2, ..., as written out below."""
    y = torch.tensor([0, 1, 0, 0, 1, 1])
    # nearest: 0 -> 1 wrong, 1 -> 0 wrong, 2 -> 1 wrong, 3 -> 2 right, 4 -> 3 wrong, 5 -> 4 right
    assert recall_at_1(LINE, y).item() == pytest.approx(2 / 6)
    # The first two neighbours (R = 2) of each: 0: b a, 1: a a, 2: b a, 3: a b, 4: a b, 5: b a; a right one at rank 2 alone
    # gives (1/2) / 2, a right one at rank 1 alone gives 1 / 2.
    assert map_at_r(LINE, y).item() == pytest.approx((0.25 + 0 + 0.25 + 0.5 + 0.25 + 0.5) / 6)
    # All five others vote, and two of them are of the query's class: it loses every time.
    assert knn_accuracy(LINE, y).item() == 0
    assert knn_accuracy(LINE, y, 1) == recall_at_1(LINE, y)


def test_separate_classes_score_one_and_reach_for_their_own_kind() -> None:
    y = torch.arange(40) % 4
    z = torch.nn.functional.one_hot(y).float() + 0.01 * torch.randn(40, 4)
    assert [score(z, y).item() for score in (recall_at_1, map_at_r, knn_accuracy)] == [1, 1, 1]


@pytest.mark.parametrize("order", ["sorted", "mixed"])
def test_collapsed_embeddings_score_zero(order: str) -> None:
    """Whatever the order of samples: with ties in favour of the first row, sorted classes would score well."""
    y = torch.arange(60) // 10 if order == "sorted" else torch.arange(60) % 6
    z = torch.full((60, 8), 0.3)
    assert [score(z, y).item() for score in (recall_at_1, map_at_r, knn_accuracy)] == [0, 0, 0]


def test_a_class_in_two_pieces_has_full_recall_but_not_full_precision() -> None:
    y = torch.tensor([0, 0, 1, 1, 0, 0])
    z = torch.tensor([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]])
    assert recall_at_1(z, y) == 1
    assert map_at_r(z, y) < 0.7


def test_lengths_do_not_matter_for_directions_but_do_for_points() -> None:
    y = torch.tensor([0, 0, 1, 1])
    z = torch.tensor([[1.0, 0.0], [9.0, 0.1], [0.0, 1.0], [0.1, 9.0]])
    assert recall_at_1(torch.nn.functional.normalize(z), y) == 1
    assert recall_at_1(z, y) == 0.5


@pytest.mark.parametrize("score", [recall_at_1, map_at_r, knn_accuracy])
def test_without_queries_there_is_no_score(score: object) -> None:
    assert callable(score)
    assert score(torch.randn(4, 2), torch.arange(4)).isnan()
    assert score(torch.randn(1, 2), torch.zeros(1)).isnan()


def test_the_objects_score_all_batches_together() -> None:
    z, y = torch.randn(50, 3), torch.arange(50) % 5
    for name, metric in retrieval().items():
        assert isinstance(metric, OfEmbeddings)
        for batch in range(0, 50, 20):
            metric.update(z[batch : batch + 20], y[batch : batch + 20])
        expected = {"recall@1": recall_at_1, "map@r": map_at_r, "knn_acc": knn_accuracy}[name](z, y)
        assert metric.compute() == expected
        metric.reset()
        metric.update(z[:20], y[:20])
        assert metric.compute() != expected


def test_pytorch_metric_learning_agrees() -> None:
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator", reason="needs pytorch-metric-learning")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    y = torch.arange(300) % 12
    z = torch.randn(300, 6) + 1.2 * torch.randn(12, 6)[y]
    search = inference.CustomKNN(distances.LpDistance(normalize_embeddings=False))
    wanted = ("precision_at_1", "mean_average_precision_at_r")
    theirs = accuracy.AccuracyCalculator(include=wanted, k="max_bin_count", knn_func=search).get_accuracy(z, y)
    assert recall_at_1(z, y).item() == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert map_at_r(z, y).item() == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
