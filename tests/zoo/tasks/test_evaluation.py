"""Samples drawn outside the trainer's loop."""

from collections.abc import Callable
from typing import Any

import torch
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.vae import VAE
from zoo.tasks.evaluation import samples

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_samples_are_the_same_at_every_call_and_leave_the_random_state_unchanged(fit: Fit) -> None:
    data, system = digits(), VAE(SHAPE)
    trainer = fit(system, data, max_epochs=0)
    one, again = (torch.cat(list(samples(system, trainer, 6, at_once=4))) for _ in range(2))
    assert torch.equal(one, again)
    assert len(one.flatten(1).unique(dim=0)) == 6
    before = torch.get_rng_state()
    list(samples(system, trainer, 6))
    assert torch.equal(torch.get_rng_state(), before)
