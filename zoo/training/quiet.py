"""The one place where other libraries' output is kept back, each with its reason."""

import logging
import warnings

import lightning.pytorch.trainer.connectors.callback_connector
import lightning.pytorch.trainer.connectors.logger_connector  # noqa: F401  # their loggers must exist


class _NoNoise(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "Tip:" not in message and not message.startswith(("GPU available: False", "TPU available: False"))


def keep_quiet() -> None:
    """Silence adverts, and warnings about choices that were made on purpose."""
    # Lightning prints "Tip: ... litlogger / litmodels" at every start (connectors/logger_connector, callback_connector),
    # and which accelerators are not there
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_NoNoise())
    # checkpoints/ of a run that is resumed is meant to hold files: lightning/pytorch/callbacks/model_checkpoint.py
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # a small set has fewer batches than log_every_n_steps: lightning/pytorch/loops/fit_loop.py
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    # optimizer states of a ReduceLROnPlateau and its kin are plain numbers: https://github.com/pytorch/pytorch/issues/110042
    warnings.filterwarnings("ignore", message="Please use torch.distributed.checkpoint")
    # Lightning asks torch >= 2.12 about pytrees in the older way: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).* is deprecated")
