"""A report refuses a system without the ability it needs, before training."""

from collections.abc import Callable
from typing import Any

import pytest
from lightning import Callback, Trainer

from datamodules import Digits
from zoo.autoencoders.autoencoder import Autoencoder
from zoo.gans.gan import GAN
from zoo.mlp.mlp import MLPClassifier
from zoo.tasks.generation.frechet import FrechetDistance
from zoo.tasks.generation.sample_scores import PointModes, SampleScores
from zoo.tasks.reconstruction.anomaly import AnomalyDetection
from zoo.tasks.reconstruction.likelihood import LikelihoodBound
from zoo.tasks.reconstruction.probe import LinearProbe
from zoo.tasks.translation.scores import CycleScores, PairScores
from zoo.training.system import System

Fit = Callable[..., Trainer]
Scores = Callable[..., dict[str, Any]]
SHAPE = (1, 8, 8)


def digits() -> Digits:
    return Digits(normalize=False, batch_size=32, seed=0)


@pytest.mark.parametrize(
    ("callback", "system", "message"),
    [
        (
            LikelihoodBound(),
            Autoencoder(SHAPE),
            "LikelihoodBound is for systems that bound the likelihood of .*, and Auto",
        ),
        (
            LinearProbe(),
            MLPClassifier(SHAPE, 10),
            "LinearProbe is for systems that encode their inputs, and MLPC",
        ),
        (
            AnomalyDetection(),
            MLPClassifier(SHAPE, 10),
            "AnomalyDetection is for systems that score anomalies, and MLPC",
        ),
        (FrechetDistance("simple_cnn_mnist"), MLPClassifier(SHAPE, 10), "that generate or reconstruct images, and MLPC"),
        (
            SampleScores("simple_cnn_mnist"),
            Autoencoder(SHAPE),
            "that draw samples, and Autoencoder does not: leave ",
        ),
        (PointModes(), Autoencoder(SHAPE), r"or give your system the methods of zoo.tasks.abilities.Generates"),
        (PairScores("simple_cnn_mnist"), GAN(SHAPE), "PairScores is for systems that translate images, and GAN does not"),
        (CycleScores(), GAN(SHAPE), "CycleScores is for systems that translate in both directions, and GAN does not"),
        (AnomalyDetection("MNISTT"), Autoencoder(SHAPE), "datamodules has no 'MNISTT'"),
        (FrechetDistance("lost"), Autoencoder(SHAPE), "no published weights 'lost'"),
    ],
)
def test_a_report_that_does_not_fit_the_system_is_refused_before_training(
    fit: Fit, callback: Callback, system: System, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(system, digits(), callbacks=[callback], max_epochs=1)
    assert not system.trainer.global_step


@pytest.mark.parametrize("callback", [LikelihoodBound, AnomalyDetection, LinearProbe])
def test_numbers_of_images_below_one_are_refused(callback: Callable[..., Callback]) -> None:
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        callback(num_images=0)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        LikelihoodBound(num_samples=(50, 0))
