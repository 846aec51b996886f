"""A run with non-finite loss or weights stops, and its error names the step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules import GaussianMixture
from datamodules.core.base import DataModule
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import read_checkpoint
from zoo.training.non_finite import NonFiniteGuard
from zoo.training.regular_checkpoint import RegularCheckpoint

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def diverging() -> MLPClassifier:
    return MLPClassifier((4,), 3, lr=1e30, optim={"name": "sgd", "schedule": "constant"})


@pytest.mark.parametrize(("every", "accumulate", "step"), [(1, 1, "[23]"), (4, 1, "4"), (2, 3, "2")])
def test_a_loss_that_overflows_ends_the_training(fit: Fit, blobs: Blobs, every: int, accumulate: int, step: str) -> None:
    message = rf"the loss is (nan|inf) at step {step} \(lr 1e\+30\): lower model.lr, or set trainer.gradient_clip_val"
    with pytest.raises(FloatingPointError, match=message):
        fit(diverging(), blobs(), callbacks=[NonFiniteGuard()], log_every_n_steps=every, accumulate_grad_batches=accumulate)


def test_without_the_guard_training_continues(fit: Fit, blobs: Blobs) -> None:
    assert fit(diverging(), blobs()).global_step == 10


def test_a_finite_loss_does_not_stop_the_training(fit: Fit, blobs: Blobs) -> None:
    assert fit(MLPClassifier((4,), 3), blobs(), callbacks=[NonFiniteGuard()]).global_step == 10


class Overflow(Callback):
    """Makes a generator weight infinite after the last step of the third epoch, whose loss is still finite."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.current_epoch == 2 and trainer.is_last_batch:
            next(pl_module.generator.parameters()).data.view(-1)[0] = torch.inf


def test_a_gan_that_overflows_is_told_to_set_its_own_clip(fit: Fit) -> None:
    data, guard = GaussianMixture(num_samples=400, batch_size=50), NonFiniteGuard()
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step 2 .*set model.clip"):
        fit(GAN((2,), latent_dim=3, widths=[8], lr=1e30), data, callbacks=[guard], log_every_n_steps=2)


def test_infinite_weights_do_not_replace_a_good_checkpoint(fit: Fit, tmp_path: Path) -> None:
    data, keep = GaussianMixture(num_samples=400, batch_size=50), RegularCheckpoint(tmp_path)
    system = GAN((2,), latent_dim=3, widths=[8])
    with pytest.raises(
        FloatingPointError, match=r"generator.layers.0.weight is not finite at step 15 .*; the previous checkpoint is kept"
    ):
        fit(system, data, max_epochs=4, callbacks=[NonFiniteGuard(), Overflow(), keep], enable_checkpointing=True)
    kept = read_checkpoint(tmp_path / "last.ckpt")
    assert kept["global_step"] == 10
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
