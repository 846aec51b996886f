"""Helpers of reports: which process writes, gathering over processes, and writing pictures and tables to disk and W&B."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, distributed
from wandb import Histogram

from zoo.training.facts import Facts, facts_of

T = TypeVar("T")
Draw = Callable[[Path], Any]  # draws a picture into a file
_MOST_ROWS = 10_000  # of a table in W&B


def facts(trainer: Trainer) -> Facts:
    """Return what the trainer's datamodule states about its data."""
    return facts_of(trainer.datamodule)  # type: ignore[attr-defined]  # set by a connector of Lightning's


def writes(trainer: Trainer) -> bool:
    """Return whether this process writes files of the run. Only rank 0 does, and no process does in a `fast_dev_run`."""
    return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector of Lightning's


def gathered(trainer: Trainer, items: list[T]) -> list[T]:
    """Return the items of all processes in the order of ranks. Every process must call this function."""
    if trainer.world_size == 1 or not distributed.is_initialized():
        return items
    by_rank: list[list[T]] = [[] for _ in range(trainer.world_size)]
    distributed.all_gather_object(by_rank, items)
    return [item for rank in by_rank for item in rank]


def gathered_batches(trainer: Trainer, batches: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
    """Concatenate the batches of all processes on the CPU, each a tuple of tensors. Every process must call this function.

    Batches may be computed one by one: each is moved to the CPU before the next one.
    """
    on_cpu = [tuple(tensor.cpu() for tensor in batch) for batch in batches]
    return [torch.cat(tensors) for tensors in zip(*gathered(trainer, on_cpu), strict=True)]


def log_means(module: LightningModule, means: Mapping[str, Tensor], num: float) -> None:
    """Log the means over a batch of `num` samples or tokens. Lightning averages them over all batches and processes.

    Lightning averages an integer `batch_size` over processes and truncates it, so it is passed as a float
    (https://github.com/Lightning-AI/pytorch-lightning/issues/21838).
    """
    module.log_dict(means, batch_size=float(num), on_epoch=True, sync_dist=True)  # type: ignore[arg-type]  # declared as int


class ValidationPictures(Callback):
    """Base class of reports that draw pictures at validations, into `folder` and W&B.

    Pictures are drawn at the first, second, fourth, eighth, ... validation of a session and again when training ends, so 500
    validations send ten pictures of each kind. A file always holds the latest picture.

    Args:
        folder: folder of the pictures.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._num_validations = 0
        self._latest: dict[str, tuple[Path, Draw]] = {}  # pictures that are not drawn yet, by their name in W&B

    def offer(self, trainer: Trainer, pictures: Mapping[str, tuple[str, Draw]]) -> None:
        """Offer the pictures of a validation: for each name in W&B, a file name and the function that draws the file.

        Every process may call this. Only one of them draws.
        """
        self._num_validations += 1
        if writes(trainer):
            self._latest = {name: (self.folder / file, draw) for name, (file, draw) in pictures.items()}
            if self._num_validations.bit_count() == 1:  # a power of two
                self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt):  # draw the last pictures of an interrupted run too
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        latest, self._latest = self._latest, {}
        for name, (path, draw) in latest.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(path)
            log_picture(trainer, name, path)


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Return the trainer's loggers that send to Weights & Biases."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def log_table(trainer: Trainer, name: str, header: list[str], rows: list[list[Any]]) -> None:
    """Send a table to W&B, or its first 10,000 rows; the whole table is in the run directory."""
    for logger in wandb_loggers(trainer):
        logger.log_table(name, columns=header, data=rows[:_MOST_ROWS], step=trainer.global_step)


def log_gif(trainer: Trainer, name: str, path: Path) -> None:
    """Send a GIF to W&B."""
    for logger in wandb_loggers(trainer):
        logger.log_video(name, videos=[str(path)], step=trainer.global_step, format=["gif"])


def log_picture(trainer: Trainer, name: str, path: Path) -> None:
    """Send the picture in a file to W&B."""
    for logger in wandb_loggers(trainer):
        logger.log_image(name, images=[str(path)], step=trainer.global_step)


def log_histograms(
    trainer: Trainer, values: Mapping[str, float], histograms: Mapping[str, Sequence[float]], edges: Sequence[float]
) -> None:
    """Send numbers, and histograms (shares of M bins between M + 1 edges), to W&B."""
    for logger in wandb_loggers(trainer):
        bins = {name: Histogram(np_histogram=(np.array(shares), np.array(edges))) for name, shares in histograms.items()}
        logger.log_metrics({**values, **bins}, step=trainer.global_step)  # type: ignore[dict-item]  # W&B takes histograms
