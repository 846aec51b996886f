"""Gradient checkpointing: blocks compute their activations again in the backward pass, which saves memory.

Chen, Xu, Zhang & Guestrin, 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo.errors import ZooError

_CONTAINERS = nn.Sequential | nn.ModuleList


def checkpoint_gradients(system: LightningModule) -> int:
    """Let all blocks of a system's networks recompute their activations, and return the number of blocks.

    A block is a child of an `nn.Sequential` or `nn.ModuleList` that has parameters and children of its own, such as a residual
    block or a transformer layer. Only a block's input is kept. Blocks within blocks are left alone. Gradients, dropout
    masks and BatchNorm statistics are the same as without checkpointing, and so are the names of the weights.

    Raises:
        ZooError: if the system is not trained by automatic optimization, or has no blocks.
    """
    if not system.automatic_optimization:
        raise ZooError(
            f"gradient_checkpointing does not fit a {type(system).__name__}, which updates several networks in turns: "
            "lower data.batch_size, or set model.accumulate"
        )
    networks = [network for network in system.children() if any(True for _ in network.parameters())]
    blocks = [block for network in networks for block in _blocks(network)]
    if not blocks:
        parts = {type(module).__name__ for network in networks for module in network.modules() if not any(module.children())}
        raise ZooError(
            f"gradient_checkpointing needs a network with blocks, such as a ResNet, but "
            f"{', '.join(type(network).__name__ for network in networks)} has only single layers ({', '.join(sorted(parts))}): "
            "lower data.batch_size instead"
        )
    for block in blocks:
        block.__class__ = _checkpointed(type(block))
    return len(blocks)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """Return the outermost blocks of a network. Containers that hold blocks, such as the stages of a ResNet, are no blocks."""
    found = []
    for child in module.children():
        if not any(True for _ in child.parameters()) or not any(True for _ in child.children()):
            continue
        in_container, is_container = isinstance(module, _CONTAINERS), isinstance(child, _CONTAINERS)
        inner = [] if in_container and not is_container else _blocks(child)
        found += [child] if in_container and not inner else inner
    return found


def _checkpointed(kind: type[nn.Module]) -> type[nn.Module]:
    """Derive a class whose `forward` keeps its inputs only. A class, unlike a wrapper, changes no names, and can be copied."""

    class Checkpointed(kind):  # type: ignore[valid-type, misc]  # the class of the block
        def forward(self, *inputs: Any, **options: Any) -> Any:
            if not (self.training and torch.is_grad_enabled()):
                return super().forward(*inputs, **options)
            before = {name: buffer.clone() for name, buffer in self.named_buffers()}

            def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
                return nullcontext(), _with_buffers(self, before)

            forward = super().forward
            return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)

    Checkpointed.__name__ = Checkpointed.__qualname__ = kind.__name__
    return Checkpointed


@contextmanager
def _with_buffers(block: nn.Module, before: dict[str, Tensor]) -> Iterator[None]:
    """Compute with other buffers for a while. Otherwise the second pass would update BatchNorm's statistics again."""
    owners = {name: block.get_submodule(name.rpartition(".")[0]) for name in before}
    now = {name: owners[name].get_buffer(name.rpartition(".")[2]) for name in before}
    for name, buffer in before.items():
        owners[name]._buffers[name.rpartition(".")[2]] = buffer
    try:
        yield
    finally:
        for name, buffer in now.items():
            owners[name]._buffers[name.rpartition(".")[2]] = buffer
