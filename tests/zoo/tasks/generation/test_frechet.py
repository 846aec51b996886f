"""Frechet distances of samples and reconstructions are above that of real images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.vae import VAE
from zoo.gans.dcgan import DCGAN
from zoo.tasks.generation.frechet import FrechetDistance

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_distances_of_samples_and_reconstructions_exceed_that_of_real_images(scores: Scores) -> None:
    torch.manual_seed(0)
    found = scores(VAE(SHAPE, latent_dim=4), digits(), FrechetDistance("simple_cnn_digits"), max_epochs=5)
    distances = {name.removeprefix("test/fd_simple_cnn_digits_"): value for name, value in found.items() if "fd_" in name}
    assert distances.keys() == {"samples", "reconstructions", "real"}
    assert 0 < distances["real"] < distances["reconstructions"]
    assert 0 < distances["real"] < distances["samples"]


def test_data_with_binary_pixels_is_refused(fit: Fit) -> None:
    data = Digits(normalize=False, binarize="stochastic")
    with pytest.raises(ValueError, match="the data has binary pixels but samples are grey, so all features differ"):
        fit(VAE(SHAPE), data, callbacks=[FrechetDistance("simple_cnn_digits")], max_epochs=1)


def test_a_gan_has_no_distance_of_reconstructions(scores: Scores) -> None:
    found = scores(DCGAN(SHAPE, 4, (4, 4)), digits(), FrechetDistance("simple_cnn_digits", num_images=100))
    assert {name for name in found if "fd_" in name} == {"test/fd_simple_cnn_digits_samples", "test/fd_simple_cnn_digits_real"}
