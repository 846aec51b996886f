"""`zoo average`: write a checkpoint with the mean of the weights of several checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything

from datamodules.core.base import DataModule
from zoo.cli.compare import check_classes, check_preparation
from zoo.cli.configuration import Configuration
from zoo.errors import UsageError, ZooError
from zoo.training.averaging import average_weights, has_statistics, refresh_statistics
from zoo.training.checkpoint import AtomicCheckpointIO, read_checkpoint, state_of_data, system_of
from zoo.training.quiet import keep_quiet

_KEPT = ("class_path", "hyper_parameters", "data", "data_class", "pytorch-lightning_version")


def average(paths: list[Path], configs: list[Path], overrides: list[str], output: Path) -> int:
    """Average checkpoints, and recompute BatchNorm statistics on the training data; returns the exit code.

    Raises:
        UsageError: if the network has BatchNorm, but no recipe says which training data to use.
        ZooError: if the checkpoints do not fit each other, or hold a GAN.
    """
    keep_quiet()
    checkpoints = {str(path): read_checkpoint(path) for path in paths}
    last = checkpoints[str(paths[-1])]
    weights = average_weights(checkpoints)
    system = system_of({**last, "state_dict": weights}, paths[-1])
    if not system.automatic_optimization:
        raise ZooError(f"{paths[-1]} holds a {type(system).__name__}, which averages its generator itself: set model.ema")
    note = ""
    if has_statistics(system):
        if not configs:
            raise UsageError(
                "the network has BatchNorm, whose statistics have to be computed again for the averaged weights: "
                "give the recipe of its training data with -c"
            )
        configuration = Configuration(configs, overrides)
        data = configuration.build_data()
        if not isinstance(data, DataModule):
            raise ZooError(f"{type(data).__name__} is not a datamodule of ours, so its training batches cannot be read here")
        data.adopt(last.get("data", {}))
        check_classes(data, last, paths[-1])
        check_preparation(data, last, paths[-1])
        seed_everything(configuration.config.seed_everything, verbose=False)
        weights = refresh_statistics(system, _training_batches(data))
        note = "; BatchNorm statistics are recomputed on one epoch of training data"
    content = {name: last[name] for name in _KEPT if name in last}
    AtomicCheckpointIO().save_checkpoint({**content, **state_of_data(last), "state_dict": weights}, output)
    print(f"wrote {output}, the average of {len(paths)} checkpoints{note}\ntest it: zoo test --ckpt_path {output}")
    return 0


def _training_batches(data: DataModule) -> Iterator[Any]:
    """Yield the training batches of one epoch, as the model gets them in training."""
    data.prepare_data()
    data.setup("fit")
    with torch.no_grad():
        for batch in data.train_dataloader():
            yield data.transform(batch, 0, True)
