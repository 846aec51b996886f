"""Accuracy of linear classifiers on codes and on principal components."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.tasks.reconstruction.probe import LinearProbe

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


def test_codes_and_components_with_the_same_information_have_the_same_accuracy(scores: Scores) -> None:
    """The code is the image itself, so its 64 pixels and all 64 components hold the same information."""
    system = Autoencoder(SHAPE, widths=[], squash=False, latent_dim=64)
    with torch.no_grad():
        system.net.encoder[-2].weight.copy_(torch.eye(64))  # type: ignore[union-attr, operator]
    found = scores(system, digits(), LinearProbe())
    assert found["test/probe_acc"] > 0.93
    assert found["test/probe_acc_pca"] == pytest.approx(found["test/probe_acc"], abs=0.02)
