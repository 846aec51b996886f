"""Number of optimizer steps of a fit, and number of parameters of a system."""

from lightning import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import nn

from zoo.errors import ZooError
from zoo.nn.average import Average
from zoo.training.facts import num_train_batches


def total_steps(trainer: Trainer) -> int:
    """Compute the number of optimizer steps of the whole fit.

    `trainer.estimated_stepping_batches` is used only for data that does not state its number of batches. It sets up the loaders
    again, and a restored loader would lose its position (https://github.com/Lightning-AI/pytorch-lightning/issues/20550).

    Raises:
        ZooError: if the trainer has neither a number of epochs nor a number of steps.
    """
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        if trainer.max_steps < 0:
            raise ZooError("a schedule needs an end: set trainer.max_epochs or trainer.max_steps")
        return trainer.max_steps
    num_batches = num_train_batches(trainer)
    if num_batches is None:
        return int(trainer.estimated_stepping_batches)
    limit = trainer.overfit_batches or trainer.limit_train_batches  # type: ignore[attr-defined]  # set by a connector of Lightning's
    num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    steps = max(1, sum(-(-num_batches // _accumulated(trainer, epoch)) for epoch in range(trainer.max_epochs)))
    return steps if trainer.max_steps < 0 else min(steps, trainer.max_steps)


def _accumulated(trainer: Trainer, epoch: int) -> int:
    """Return the number of batches per optimizer step in an epoch."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets the list in a connector
        if isinstance(callback, GradientAccumulationScheduler):
            return callback.get_accumulate_grad_batches(epoch)
    return trainer.accumulate_grad_batches


def count_parameters(system: nn.Module) -> int:
    """Count the parameters of a system. The copies in an EMA of the weights are left out."""
    averages = {id(p) for module in system.modules() if isinstance(module, Average) for p in module.parameters()}
    return sum(parameter.numel() for parameter in system.parameters() if id(parameter) not in averages)
