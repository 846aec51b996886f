"""What the callbacks that report share: who writes, what all processes saw, and where pictures go."""

from collections.abc import Sequence
from typing import Any, TypeVar

from lightning import Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import distributed

T = TypeVar("T")


def writes(trainer: Trainer) -> bool:
    """Whether this process writes the run's files: one of all does, and a `fast_dev_run` leaves nothing behind."""
    return trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set by a connector of Lightning's


def gathered(trainer: Trainer, items: list[T]) -> list[T]:
    """The items of every process, in the order of ranks; every process has to call it."""
    if trainer.world_size == 1 or not distributed.is_initialized():
        return items
    of_ranks: list[list[T]] = [[] for _ in range(trainer.world_size)]
    distributed.all_gather_object(of_ranks, items)
    return [item for rank in of_ranks for item in rank]


def wandb_loggers(trainer: Trainer) -> list[WandbLogger]:
    """Those of the trainer's loggers that send to Weights & Biases."""
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def log_table(trainer: Trainer, name: str, header: list[str], rows: list[list[Any]]) -> None:
    """Send a table to W&B."""
    for logger in wandb_loggers(trainer):
        logger.log_table(name, columns=header, data=rows, step=trainer.global_step)


def log_film(trainer: Trainer, name: str, path: str) -> None:
    """Send a GIF to W&B."""
    for logger in wandb_loggers(trainer):
        logger.log_video(name, videos=[path], step=trainer.global_step, format=["gif"])


def log_pictures(trainer: Trainer, name: str, images: list[Any], caption: Sequence[str] | None = None) -> None:
    """Send arrays, or the paths of files, to W&B, each with its caption where there is one."""
    captions = {} if caption is None else {"caption": list(caption)}
    for logger in wandb_loggers(trainer):
        logger.log_image(name, images=images, step=trainer.global_step, **captions)
