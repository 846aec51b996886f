"""An exponential moving average of a network's weights, which draws and judges better than the network of the moment."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class Average(nn.Module):
    """Starts as a copy; called as the network is. In the state of a checkpoint its weights stand under `module`.

    torch's `AveragedModel` asks the device for a counter at every update, which waits for a GPU; timm's `ModelEmaV3` holds a
    random generator, which neither `deepcopy` nor the meta device takes.

    Args:
        network: to be averaged.
        decay: how much of its past the average keeps at an update, in [0, 1).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.module, self.decay = copy.deepcopy(network).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Keep `decay` of the average, and take the rest from the network; buffers as parameters, but counters are copied."""
        for mine, its in ((self.module.parameters(), network.parameters()), (self.module.buffers(), network.buffers())):
            numbers = []  # parameters may be sharded where buffers are not, so that one call cannot do both
            for a, b in zip(mine, its, strict=True):
                if a.is_floating_point():
                    numbers.append((a, b))
                else:
                    a.copy_(b)
            if numbers:
                torch._foreach_lerp_([a for a, _ in numbers], [b for _, b in numbers], 1 - self.decay)

    @torch.no_grad()
    def refresh_statistics(self, batches: Iterable[tuple[Tensor, ...]]) -> None:
        """Let BatchNorm see what the average itself makes of these inputs, each batch as much as another.

        Averaged weights make tamer maps than those that were averaged. With the average of their statistics the samples of a
        short run were grey, and four times as far from real ones (Brock et al., 2019, arXiv:1809.11096: standing statistics).
        """
        norms = [layer for layer in self.module.modules() if isinstance(layer, _BatchNorm)]
        if not norms:
            return
        before = [(norm.momentum, norm.training) for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # an even mean
            norm.train()
        for inputs in batches:
            self(*inputs)
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)
