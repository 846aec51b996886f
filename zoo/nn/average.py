"""Exponential moving average (EMA) of a network's weights. Its samples and scores are better than the current network's."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Average(nn.Module):
    """Starts as a copy of the network and is called like it. In checkpoints its weights are stored under `module`.

    torch's `AveragedModel` is not used because it reads a counter from the device at every update, which waits for a GPU.
    timm's `ModelEmaV3` holds a random generator, which neither `deepcopy` nor the meta device supports.

    Args:
        network: the network to average.
        decay: weight of the old average at each update, in [0, 1). The first updates use a lower one: see `decay_at`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(network).requires_grad_(False), decay

    def decay_at(self, num_updates: int) -> float:
        """Return the decay of the update after n = `num_updates` others: min(decay, (1 + n) / (10 + n)).

        With a constant decay of 0.999, the initial weights still make up 43 % of the average after 850 updates. With this ramp,
        which TensorFlow's `ExponentialMovingAverage` also uses, they are gone after a few updates.
        """
        return min(self.decay, (1 + num_updates) / (10 + num_updates))

    @torch.no_grad()
    def update(self, network: nn.Module, num_updates: int) -> None:
        """Move parameters and floating-point buffers towards the network's by 1 - `decay_at`; copy integer buffers.

        `num_updates` counts the updates before this one. The caller counts them, so that the count survives a resume.
        """
        decay = self.decay_at(num_updates)
        for mine, its in ((self.module.parameters(), network.parameters()), (self.module.buffers(), network.buffers())):
            numbers = []  # Parameters may be sharded where buffers are not, so one call cannot update both.
            for a, b in zip(mine, its, strict=True):
                if a.is_floating_point():
                    numbers.append((a, b))
                else:
                    a.copy_(b)
            if numbers:
                torch._foreach_lerp_([a for a, _ in numbers], [b for _, b in numbers], 1 - decay)

    def norms(self) -> list[_BatchNorm]:
        """The network's BatchNorm layers, whose statistics do not belong to averaged weights."""
        return batch_norms(self.module)

    @torch.no_grad()
    def refresh_statistics(self, batches: Iterable[tuple[Any, ...]]) -> None:
        """Recompute BatchNorm statistics for the averaged weights, weighting all batches of inputs equally.

        The activations of averaged weights vary less than those of the weights that were averaged. With averaged statistics
        the samples of a short run were grey, and four times as far from real ones (Brock et al., 2019, arXiv:1809.11096:
        "standing statistics").
        """
        norms = self.norms()
        if not norms:
            return
        before = [(norm.momentum, norm.training) for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
            norm.train()
        for inputs in batches:
            self(*inputs)
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers of a module."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
