"""The settings of a GAN's rhythm: checks, the averaged generator, and what strategies need."""

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import nn

from zoo.errors import ZooError
from zoo.nn.average import Average
from zoo.training.optim import Optim
from zoo.training.parallel import share_buffers

ADAM: Optim = {"name": "adam", "betas": [0.5, 0.999], "schedule": "constant"}  # Radford, Metz & Chintala, 2016


def check_rhythm(optim: Optim, n_critic: int, accumulate: int, d_lr: float | None, clip: float | None) -> None:
    """Check that a GAN can be trained with these settings.

    Raises:
        ZooError: if it cannot. The message names the setting, its value and what is allowed.
    """
    if optim.get("schedule") == "plateau":
        raise ZooError("schedule 'plateau' waits for a loss to stop falling, but a GAN's losses do not fall: choose another")
    for name, count in (("n_critic", n_critic), ("accumulate", accumulate)):
        if count < 1:
            raise ZooError(f"{name} must be at least 1, got {count}")
    for name, value in (("d_lr", d_lr), ("clip", clip)):
        if value is not None and not value > 0:
            raise ZooError(f"{name} must be positive, got {value}")


def build_average(generator: nn.Module, ema: float) -> Average | None:
    """Build the average of a generator's weights with decay `ema`, or None if it is 0.

    Raises:
        ZooError: if `ema` is out of range.
    """
    if not 0 <= ema < 1:
        raise ZooError(f"ema must lie in [0, 1), got {ema}")
    return Average(generator, ema) if ema else None


def prepare_strategy(strategy: Strategy, second_order: bool) -> None:
    """Configure DDP for two losses, each of which leaves the parameters of the other network without gradients.

    Raises:
        ZooError: if the strategy is FSDP and a step differentiates a gradient.
    """
    if isinstance(strategy, ModelParallelStrategy) and second_order:
        raise ZooError("FSDP cannot compute gradients of gradients, which this GAN's loss needs: use trainer/ddp")
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs["find_unused_parameters"] = True


def share_statistics(strategy: Strategy, *networks: nn.Module | None) -> None:
    """Copy the BatchNorm statistics of rank 0, which are in checkpoints, to all ranks.

    In manual optimization DDP does not do this itself.
    """
    if isinstance(strategy, DDPStrategy):
        for network in networks:
            if network is not None:
                share_buffers(network)
