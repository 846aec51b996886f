"""Messages of other libraries that are silenced in every run, each with its reason."""

import logging
import warnings

import lightning.pytorch.trainer.connectors.callback_connector  # noqa: F401  # the loggers of both must exist
import lightning.pytorch.trainer.connectors.logger_connector  # noqa: F401

_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
)
_NOISE = (
    "Tip:",  # advertises litlogger and litmodels at every start
    "GPU available: False",  # missing accelerators
    "TPU available: False",
    "Seed set to",  # config.yaml states the seed, and the line would precede every error
    "`weights_only` was not set",  # repeated at every checkpoint, although full checkpoints are intended
)


class _NoNoise(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(noise in message for noise in _NOISE)


_NO_NOISE = _NoNoise()


def keep_quiet() -> None:
    """Silence advertisements, and warnings about choices that are intentional."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_NO_NOISE)  # always the same filter, so it is added only once
    # The folder checkpoints/ of a resumed run contains files: lightning/pytorch/callbacks/model_checkpoint.py
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # A small data set has fewer batches than log_every_n_steps: lightning/pytorch/loops/fit_loop.py
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    # Lightning calls a pytree function that torch 2.12 deprecates: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).* is deprecated")
    # In fp16, gradients of the first steps overflow and the steps are skipped: https://github.com/pytorch/pytorch/issues/44511
    warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`")
    # A run resumed at the end of an epoch has no scores before its next validation:
    # lightning/pytorch/callbacks/model_checkpoint.py
    warnings.filterwarnings("ignore", message=r"`ModelCheckpoint\(monitor=.*could not find the monitored key")
    # Frozen layers are in evaluation mode: lightning/pytorch/loops/fit_loop.py
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training")
    # Checkpoints of earlier versions name reports that no longer exist. They have no state to restore:
    # lightning/pytorch/trainer/call.py
    warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`, callbacks used to create the checkpoint")
    # Lightning looks for a SequentialSampler, which the zoo's loaders lack. They do not shuffle while overfitting:
    # datamodules/core/base.py
    warnings.filterwarnings("ignore", message="You requested to overfit but enabled .* dataloader shuffling")
    # The font draws boxes for characters that it lacks, such as Chinese class names: matplotlib/_text_helpers.py
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
