"""The computed number of steps equals the number that a fit takes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.utils.data import DataLoader

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPClassifier
from zoo.training.counting import total_steps

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def small() -> MLPClassifier:
    return MLPClassifier((4,), 3, hidden_dims=(8,))


# 102 training samples, the short last batch dropped: 10 batches of 10, 3 of 30, 1 of 200
@pytest.mark.parametrize(
    ("batch_size", "arguments", "steps"),
    [
        (10, {}, 10),
        (10, {"max_epochs": 3}, 30),
        (30, {"max_epochs": 2}, 6),
        (200, {"max_epochs": 2}, 2),
        (10, {"max_epochs": 2, "accumulate_grad_batches": 4}, 6),  # 4 + 4 + 2 batches
        (10, {"max_epochs": 2, "accumulate_grad_batches": 20}, 2),
        (10, {"max_epochs": 2, "callbacks": [GradientAccumulationScheduler({0: 4})]}, 6),
        (10, {"max_epochs": 3, "callbacks": [GradientAccumulationScheduler({1: 2, 2: 5})]}, 17),
        (10, {"max_epochs": 2, "limit_train_batches": 3}, 6),
        (10, {"max_epochs": 2, "limit_train_batches": 300}, 20),
        (10, {"max_epochs": 2, "limit_train_batches": 0.55}, 10),
        (10, {"max_epochs": 2, "limit_train_batches": 5, "accumulate_grad_batches": 2}, 6),
        (10, {"max_epochs": 2, "overfit_batches": 2}, 4),
        (10, {"max_epochs": 2, "overfit_batches": 0.4}, 8),
        (10, {"max_epochs": None, "max_steps": 7}, 7),
        (10, {"max_epochs": -1, "max_steps": 25}, 25),
        (10, {"max_epochs": 1, "max_steps": 7}, 7),
        (10, {"max_epochs": 1, "max_steps": 1000}, 10),
        (10, {"max_epochs": 2, "max_steps": 5, "accumulate_grad_batches": 4}, 5),
        (10, {"fast_dev_run": 3, "accumulate_grad_batches": 2}, 2),
    ],
)
def test_counts_the_steps_that_a_fit_takes(
    fit: Fit, blobs: Blobs, batch_size: int, arguments: dict[str, Any], steps: int
) -> None:
    model = small()
    trainer = fit(model, blobs(batch_size=batch_size), **arguments)
    assert total_steps(trainer) == trainer.global_step == steps


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({"max_epochs": 2}, 8),  # a short last batch counts as a step
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, 4),
        ({"max_epochs": 1, "max_steps": 3}, 3),
        ({"max_epochs": 1, "max_steps": 30}, 4),
    ],
)
def test_counts_the_steps_of_a_plain_loader(fit: Fit, arguments: dict[str, Any], steps: int) -> None:
    samples = [Batch(torch.randn(4), torch.tensor(i % 3), torch.tensor(i)) for i in range(35)]
    model, loader = small(), DataLoader(samples, batch_size=10)  # type: ignore[arg-type]  # a list works as a data set
    trainer = fit(model, None, loader, loader, **arguments)
    assert total_steps(trainer) == trainer.global_step == steps


def test_training_without_an_end_is_refused(fit: Fit, blobs: Blobs) -> None:
    with pytest.raises(ValueError, match=r"a schedule needs an end: set trainer.max_epochs or trainer.max_steps"):
        fit(small(), blobs(), max_epochs=-1)
