"""Callbacks that do not work in a run are refused with the way out."""

from datetime import timedelta

import pytest
from lightning import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    StochasticWeightAveraging,
    Timer,
)

from zoo.errors import ZooError
from zoo.training.unsupported import check_callbacks


@pytest.mark.parametrize(
    ("callback", "way_out"),
    [
        (LearningRateFinder(), "run zoo lr RECIPE"),
        (BatchSizeFinder(), "set data.batch_size"),
        (BackboneFinetuning(), "leave it out"),
        (StochasticWeightAveraging(0.1), "use zoo average"),
        (EMAWeightAveraging(), "use --ema"),
        (ModelPruning("l1_unstructured"), "leave it out"),
        (Timer(timedelta(hours=1)), "set trainer.max_time"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Callback) else "",
)
def test_is_refused_by_name(callback: Callback, way_out: str) -> None:
    name = type(callback).__name__
    with pytest.raises(ZooError, match=f"^trainer.callbacks has a {name}, which does not work here: .*{way_out}"):
        check_callbacks([EarlyStopping("val/loss"), callback])


def test_others_pass() -> None:
    check_callbacks([EarlyStopping("val/loss"), LearningRateMonitor()])
