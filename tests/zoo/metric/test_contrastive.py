"""The contrastive system: its loss by loops over pairs, collapse, and what it refuses."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch

from datamodules.core.batch import Batch
from zoo.metric.contrastive import ContrastiveEmbedder

PROGRESS = torch.tensor(0.5)
BATCH = Batch(
    torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 1, 1, 2, 2, 3]), torch.arange(8)
)


def system(**arguments: Any) -> ContrastiveEmbedder:
    torch.manual_seed(0)
    return ContrastiveEmbedder((1, 8, 8), embedding_dim=5, widths=(4, 8), **arguments)


@pytest.mark.parametrize(("normalize", "margin"), [(True, 1.0), (True, 0.3), (False, 5.0)])
def test_the_loss_is_that_of_a_loop_over_pairs(normalize: bool, margin: float) -> None:
    loss, outputs = system(margin=margin, normalize=normalize).step(BATCH, PROGRESS)
    pulled, pushed = [], []
    for i, j in combinations(range(8), 2):
        d = math.dist(outputs["embedding"][i].tolist(), outputs["embedding"][j].tolist())
        if BATCH.y[i] == BATCH.y[j]:
            pulled.append(d**2)
        else:
            pushed.append(max(0.0, margin - d) ** 2)
    assert (len(pulled), len(pushed)) == (5, 23)
    num_close = sum(cost > 0 for cost in pushed)
    assert outputs["active"].item() == pytest.approx(num_close / 23)
    assert outputs["pulled"].item() == pytest.approx(sum(pulled) / 5, rel=1e-4)
    assert outputs["pushed"].item() == pytest.approx(sum(pushed) / max(num_close, 1), rel=1e-4)
    assert loss.item() == pytest.approx((sum(pulled) / 5 + sum(pushed) / max(num_close, 1)) / 2, rel=1e-4)


def test_a_collapsed_network_costs_half_the_squared_margin() -> None:
    model = system(normalize=False, margin=0.6)
    torch.nn.init.zeros_(model.net.head.weight)  # type: ignore[union-attr,arg-type]  # `net` is declared as a Module
    loss, _ = model.step(BATCH, PROGRESS)
    assert loss.item() == pytest.approx(0.6**2 / 2)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0.0}, "margin must be positive, got 0.0"),
        ({"margin": 2.0}, "margin must be below 2, the largest distance of embeddings of length 1, got 2.0"),
    ],
)
def test_refuses_margins_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        system(**arguments)
    assert system(normalize=False, margin=2.0).margin == 2.0
