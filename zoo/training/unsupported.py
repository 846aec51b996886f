"""Lightning callbacks that do not work in a run, each with the reason and an alternative."""

from collections.abc import Iterable

from lightning import Callback
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)

from zoo.errors import ZooError

_OTHER_WEIGHTS = "it tests other weights than it saves, so the score would not be that of the checkpoint: "
_UNSUPPORTED: dict[type[Callback], str] = {
    WeightAveraging: f"{_OTHER_WEIGHTS}use --ema",
    StochasticWeightAveraging: f"{_OTHER_WEIGHTS}use zoo average",
    ModelPruning: "its pruned weights cannot be resumed or exported: leave it out",
    LearningRateFinder: "it changes the learning rate after the schedule is built: run zoo lr RECIPE before",
    BatchSizeFinder: "it restarts with other data settings: set data.batch_size",
    BackboneFinetuning: "it needs a model with a `backbone` and an optimizer without a schedule: leave it out",
    Timer: "its duration cannot be written to config.yaml: set trainer.max_time",
}


def check_callbacks(callbacks: Iterable[Callback]) -> None:
    """Refuse callbacks that do not work in a run.

    Raises:
        ZooError: naming the callback, the reason and what to do.
    """
    for callback in callbacks:
        for kind, reason in _UNSUPPORTED.items():
            if isinstance(callback, kind):
                raise ZooError(f"trainer.callbacks has a {type(callback).__name__}, which does not work here: {reason}")
