"""Reports that recipes add to a run. Each is a callback that writes scores or pictures of a trained model."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.tasks.behaviour import Behaviour as Behaviour
    from zoo.tasks.debugging.gradients import Gradients as Gradients
    from zoo.tasks.generation.frechet import FrechetDistance as FrechetDistance
    from zoo.tasks.generation.sample_scores import PointModes as PointModes
    from zoo.tasks.generation.sample_scores import SampleScores as SampleScores
    from zoo.tasks.reconstruction.anomaly import AnomalyDetection as AnomalyDetection
    from zoo.tasks.reconstruction.likelihood import LikelihoodBound as LikelihoodBound
    from zoo.tasks.reconstruction.probe import LinearProbe as LinearProbe
    from zoo.tasks.translation.scores import CycleScores as CycleScores
    from zoo.tasks.translation.scores import PairScores as PairScores

HOMES = {
    "AnomalyDetection": "reconstruction.anomaly",
    "Behaviour": "behaviour",
    "CycleScores": "translation.scores",
    "FrechetDistance": "generation.frechet",
    "Gradients": "debugging.gradients",
    "LikelihoodBound": "reconstruction.likelihood",
    "LinearProbe": "reconstruction.probe",
    "PairScores": "translation.scores",
    "PointModes": "generation.sample_scores",
    "SampleScores": "generation.sample_scores",
}
__all__ = list(HOMES)  # resolved by __getattr__


def __getattr__(name: str) -> object:
    """Import a report at its first use."""
    if name not in HOMES:
        raise AttributeError(f"zoo.reports has no {name!r}: it has {', '.join(HOMES)}")
    return getattr(importlib.import_module(f"zoo.tasks.{HOMES[name]}"), name)
