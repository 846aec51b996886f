"""The bound is tighter for more samples, and is computed on images from the whole split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.vae import VAE
from zoo.tasks.reconstruction.likelihood import LikelihoodBound

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_the_bound_is_reported_for_every_number_of_samples(scores: Scores, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = scores(VAE(SHAPE, latent_dim=4), digits(), LikelihoodBound((1, 20), num_images=100), max_epochs=3)
    assert found["test/nll_iwae_20"] < found["test/nll_iwae_1"] == pytest.approx(found["test/negative_elbo"], rel=0.05)
    kl = [float(line.split(",")[1]) for line in (tmp_path / "predictions" / "kl_per_dim.csv").read_text().splitlines()[1:]]
    assert sum(kl) == pytest.approx(found["test/kl"], abs=0.01)
    assert 0 <= found["test/active_units"] <= 4


def test_the_bound_is_averaged_over_images_from_the_whole_split(scores: Scores) -> None:
    """The first images of every batch are used. The test images of Digits form twelve batches."""
    system = VAE(SHAPE, latent_dim=2)
    batch_sizes: list[int] = []
    log_weights = system.log_weights
    system.log_weights = lambda k, x: (batch_sizes.append(len(x)), log_weights(k, x))[1]  # type: ignore[assignment, method-assign, func-returns-value]
    scores(system, digits(), LikelihoodBound(num_samples=(1,), num_images=24))
    assert batch_sizes == [2] * 12
