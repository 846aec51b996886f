"""The triplet system: its loss by loops over triplets, collapse, what it refuses, and that it learns to retrieve."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from datamodules import Digits
from datamodules.core.batch import Batch
from zoo.metric.triplet import TripletEmbedder
from zoo.metrics.retrieval import recall_at_1

PROGRESS = torch.tensor(0.5)


def batch_of(y: list[int]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randn(len(y), 1, 8, 8, generator=generator), torch.tensor(y), torch.arange(len(y)))


def system(**arguments: Any) -> TripletEmbedder:
    torch.manual_seed(0)
    return TripletEmbedder((1, 8, 8), embedding_dim=5, widths=(4, 8), **arguments)


def triplets(z: Tensor, y: Tensor) -> dict[int, list[tuple[float, float]]]:
    """Distances of the positive and the negative of every triplet, by anchor."""
    d = [[math.dist(a, b) for b in z.tolist()] for a in z.tolist()]
    found: dict[int, list[tuple[float, float]]] = {}
    for a, p, n in product(range(len(y)), repeat=3):
        if a != p and y[a] == y[p] and y[a] != y[n]:
            found.setdefault(a, []).append((d[a][p], d[a][n]))
    return found


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("margin", [0.2, None])
def test_the_loss_of_batch_hard_is_that_of_loops(normalize: bool, margin: float | None) -> None:
    model, batch = system(margin=margin, normalize=normalize), batch_of([0, 0, 1, 1, 1, 2, 2, 3])
    loss, outputs = model.step(batch, PROGRESS)
    costs = []
    for of_anchor in triplets(outputs["embedding"], batch.y).values():
        difference = max(p for p, _ in of_anchor) - min(n for _, n in of_anchor)
        costs.append(math.log1p(math.exp(difference)) if margin is None else max(0.0, difference + margin))
    assert len(costs) == 7  # class 3 has one sample, so it has no positive
    assert loss.item() == pytest.approx(sum(costs) / 7, rel=1e-4)
    assert outputs["active"].item() == pytest.approx(sum(cost > 0 for cost in costs) / 7)


def test_the_loss_of_all_averages_over_easy_triplets_too() -> None:
    model, batch = system(mining="all"), batch_of([0, 0, 1, 1, 1, 2, 2, 3])
    loss, outputs = model.step(batch, PROGRESS)
    costs = [max(0.0, p - n + 0.2) for found in triplets(outputs["embedding"], batch.y).values() for p, n in found]
    assert len(costs) == 2 * 6 + 6 * 5 + 2 * 6
    assert loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-4)
    assert outputs["active"].item() == pytest.approx(sum(cost > 0 for cost in costs) / len(costs))


def test_distances_of_pairs_are_logged() -> None:
    model, batch = system(), batch_of([0, 0, 1, 1])
    _, outputs = model.step(batch, PROGRESS)
    z = outputs["embedding"]
    same = [(z[0] - z[1]).norm().item(), (z[2] - z[3]).norm().item()]
    other = [(z[a] - z[b]).norm().item() for a, b in product((0, 1), (2, 3))]
    assert outputs["d_same"].item() == pytest.approx(sum(same) / 2, rel=1e-4)
    assert outputs["d_other"].item() == pytest.approx(sum(other) / 4, rel=1e-4)


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard", "all"])
def test_a_collapsed_network_costs_the_margin(mining: Any) -> None:
    model = system(mining=mining, normalize=False, margin=0.35)
    torch.nn.init.zeros_(model.net.head.weight)  # type: ignore[union-attr,arg-type]  # `net` is declared as a Module
    loss, outputs = model.step(batch_of([0, 0, 1, 1]), PROGRESS)
    assert loss.item() == pytest.approx(0.35)
    assert [outputs[name].item() for name in ("d_same", "d_other", "active")] == [0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0.0}, "margin must be positive, or null for a soft margin, got 0.0"),
        ({"margin": -1.0}, "margin must be positive, or null for a soft margin, got -1.0"),
        ({"mining": "hardest"}, "unknown mining 'hardest': choose one of batch_hard, semi_hard, all"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
    ],
)
def test_refuses_settings_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        system(**arguments)


def test_retrieves_better_than_pixels_do(fit: Callable[..., Trainer]) -> None:
    data = Digits(batch_size=100, classes_per_batch=8, samples_per_class=4, seed=0)
    torch.manual_seed(0)
    model = TripletEmbedder((1, 8, 8), embedding_dim=16, widths=(16, 32), lr=3e-3)
    trainer = fit(model, data, max_epochs=6)
    (scores,) = trainer.test(model, datamodule=data, verbose=False)
    arrays, rows = data.splits["test"]
    pixels = recall_at_1(arrays.x[rows].flatten(1).float(), arrays.y[rows]).item()
    assert scores["test/recall@1"] > 0.96
    assert scores["test/recall@1"] >= pixels - 0.02
    assert scores["test/map@r"] > 0.8
    assert scores["test/d_same"] < 0.5 * scores["test/d_other"]
