"""The one place where other libraries' messages are silenced, each with its reason."""

import logging
import warnings

import lightning.pytorch.trainer.connectors.callback_connector
import lightning.pytorch.trainer.connectors.logger_connector  # noqa: F401  # their loggers must exist

_CHECKPOINTS = "lightning.pytorch.trainer.connectors.checkpoint_connector"
_NOISE = (
    "Tip:",  # adverts for litlogger and litmodels, at every start
    "GPU available: False",  # accelerators that are not there
    "TPU available: False",
    "`weights_only` was not set",  # said at every checkpoint: what is saved holds everything
)


class _NoNoise(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(noise in message for noise in _NOISE)


_NO_NOISE = _NoNoise()


def keep_quiet() -> None:
    """Silence adverts, and warnings about choices that were made on purpose."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero", _CHECKPOINTS):
        logging.getLogger(name).addFilter(_NO_NOISE)  # the same one each time: added once
    # checkpoints/ of a run that is resumed is meant to hold files: lightning/pytorch/callbacks/model_checkpoint.py
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # a small set has fewer batches than log_every_n_steps: lightning/pytorch/loops/fit_loop.py
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    # Lightning asks torch >= 2.12 about pytrees in the older way: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).* is deprecated")
    # fp16 skips the first steps, whose gradients overflow at the first scale: https://github.com/pytorch/pytorch/issues/44511
    warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`")
    # a run resumed at an epoch's end has no scores before its next validation: lightning/pytorch/callbacks/model_checkpoint.py
    warnings.filterwarnings("ignore", message=r"`ModelCheckpoint\(monitor=.*could not find the monitored key")
    # a checkpoint of an earlier version names reports that a run of its model no longer has, and that keep nothing in it:
    # lightning/pytorch/trainer/call.py
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`, callbacks used to create the checkpoint")
    # the zoo's loaders have no SequentialSampler to recognise, but do not shuffle while overfitting: datamodules/core/base.py
    warnings.filterwarnings("ignore", message="You requested to overfit but enabled .* dataloader shuffling")
