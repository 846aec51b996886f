"""Refuse a short last batch that BatchNorm cannot train on, before the epoch ends with it."""

from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.errors import ZooError
from zoo.nn.average import batch_norms


def check_last_batch(system: nn.Module, loader: Any) -> None:
    """Let the first training batch fail if the last batch of the epoch will hold one value for each channel of a BatchNorm.

    The variance of one value is 0, so torch raises an error, but only when it meets that batch. Our own loaders leave a short
    last batch out; a `DataLoader` serves it unless `drop_last` is set. Maps of several pixels hold several values for each
    channel of a single sample, so they pass.

    Raises:
        ZooError: in the first forward pass of such a layer in training mode.
    """
    if _last_batch_size(loader) == 1:
        for norm in batch_norms(system):
            norm.register_forward_pre_hook(_refuse_single_values)


def _last_batch_size(loader: Any) -> int | None:
    """Return the number of samples in the last batch of a `DataLoader`; None for other loaders, and if it cannot be known."""
    if not isinstance(loader, DataLoader) or loader.batch_size is None or loader.drop_last:
        return None
    try:
        num_samples = len(loader.sampler)  # type: ignore[arg-type]  # samplers of streams have no length
    except TypeError:
        return None
    return num_samples % loader.batch_size or loader.batch_size


def _refuse_single_values(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    if norm.training and inputs[0][0, 0].numel() == 1:
        raise ZooError(
            "the last training batch of an epoch holds a single sample, but batch normalisation needs at least 2 values for "
            "each channel: set drop_last in the data loader, or another batch size"
        )
