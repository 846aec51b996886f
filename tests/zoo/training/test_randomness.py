"""Random states are restored exactly, and validation does not affect the random numbers of training."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPClassifier
from zoo.training.checkpoint import AtomicCheckpointIO, read_checkpoint
from zoo.training.randomness import Randomness, random_state, set_random_state
from zoo.training.system import Outputs

Fit = Callable[..., Trainer]
Blobs = Callable[..., DataModule]


def draw() -> list[float]:
    """Draw from every global generator, including normal numbers, which Python and NumPy draw in pairs and cache."""
    return [
        *torch.rand(3).tolist(),
        *torch.randn(17).tolist(),
        random.random(),
        random.gauss(0, 1),
        *np.random.rand(3).tolist(),
        float(np.random.standard_normal()),
    ]


class Drawing(MLPClassifier):
    """Draws random numbers during validation if `draws`, like a sampling model. Training draws dropout masks."""

    def __init__(self, draws: bool) -> None:
        super().__init__((4,), 3, dropout=0.5)
        self.draws = draws

    def validation_step(self, batch: Batch, batch_idx: int) -> Outputs:
        if self.draws:
            draw()
        return super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_restored_state_draws_the_same_numbers_again(before: int) -> None:
    for _ in range(before):  # one draw leaves a cached normal number
        random.gauss(0, 1)
        np.random.standard_normal()
    state = random_state()
    first = draw()
    assert draw() != first
    set_random_state(state)
    assert draw() == first


def test_a_state_survives_a_checkpoint_that_holds_plain_values_only(tmp_path: Path) -> None:
    random.gauss(0, 1)
    path, state = tmp_path / "state.ckpt", random_state()
    first = draw()
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "random_states": [state]}, path)
    set_random_state(read_checkpoint(path)["random_states"][0])
    assert draw() == first


def train(fit: Fit, blobs: Blobs, draws: bool, callbacks: list[Callback], **arguments: Any) -> tuple[torch.Tensor, list[float]]:
    """Train, and return the weights and the next random numbers."""
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    model = Drawing(draws)
    fit(model, blobs(), callbacks=callbacks, max_epochs=2, val_check_interval=3, num_sanity_val_steps=1, **arguments)
    return torch.nn.utils.parameters_to_vector(model.parameters()), draw()


def test_random_draws_in_validation_do_not_affect_training(fit: Fit, blobs: Blobs) -> None:
    weights, after = train(fit, blobs, draws=False, callbacks=[Randomness()])
    drawing_weights, drawing_after = train(fit, blobs, draws=True, callbacks=[Randomness()])
    assert torch.equal(weights, drawing_weights)
    assert after == drawing_after


def test_without_the_callback_random_draws_in_validation_affect_training(fit: Fit, blobs: Blobs) -> None:
    weights, _ = train(fit, blobs, draws=False, callbacks=[])
    assert not torch.equal(weights, train(fit, blobs, draws=True, callbacks=[])[0])


class Saver(Callback):
    """Writes a checkpoint during validation, after random draws."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.path)


def test_a_checkpoint_written_within_a_validation_holds_the_state_before_it(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    train(fit, blobs, draws=True, callbacks=[Randomness(), Saver(tmp_path / "last.ckpt")], limit_train_batches=3)
    _, after = train(fit, blobs, draws=False, callbacks=[Randomness()], limit_train_batches=3)
    (state,) = read_checkpoint(tmp_path / "last.ckpt")["random_states"]  # written by the validation at the end of training
    set_random_state(state)
    assert draw() == after


def test_a_checkpoint_without_random_states_can_be_resumed(fit: Fit, blobs: Blobs, tmp_path: Path) -> None:
    fit(MLPClassifier((4,), 3), blobs()).save_checkpoint(tmp_path / "last.ckpt")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Randomness()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(MLPClassifier((4,), 3), datamodule=blobs(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert trainer.global_step == 20
