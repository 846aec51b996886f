"""A run that has lost its numbers ends, and says where."""

from collections.abc import Callable

import pytest
from lightning import Trainer

from datamodules.base import DataModule
from zoo.callbacks.non_finite import NonFiniteGuard
from zoo.mlp.mlp import MLPClassifier

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def diverging() -> MLPClassifier:
    return MLPClassifier((4,), 3, lr=1e30, optim={"name": "sgd", "schedule": "constant"})


@pytest.mark.parametrize(("every", "accumulate", "step"), [(1, 1, "[23]"), (4, 1, "4"), (2, 3, "2")])
def test_a_loss_that_overflows_ends_the_training(fit: Fit, blobs: Blobs, every: int, accumulate: int, step: str) -> None:
    message = rf"the loss is (nan|inf) at step {step} \(lr 1e\+30\): lower model.lr, or set trainer.gradient_clip_val"
    with pytest.raises(FloatingPointError, match=message):
        fit(diverging(), blobs(), callbacks=[NonFiniteGuard()], log_every_n_steps=every, accumulate_grad_batches=accumulate)


def test_without_the_guard_it_goes_on(fit: Fit, blobs: Blobs) -> None:
    assert fit(diverging(), blobs()).global_step == 10


def test_a_finite_loss_is_left_alone(fit: Fit, blobs: Blobs) -> None:
    assert fit(MLPClassifier((4,), 3), blobs(), callbacks=[NonFiniteGuard()]).global_step == 10
