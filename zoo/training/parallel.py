"""Strategies that distribute a model over processes. Model files do not depend on them."""

from inspect import isfunction
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from zoo.errors import ZooError


class FSDP2(ModelParallelStrategy):
    """Fully sharded data parallelism (`fully_shard`) over all processes, on CPUs (gloo) or GPUs (NCCL).

    Parameters, gradients and optimizer state are sharded. The parameters of a block are gathered only while it computes
    (ZeRO stage 3, Rajbhandari et al., 2020, arXiv:1910.02054). Gradients are reduced in fp32 at any precision. A checkpoint is
    a single file with the full weights, interchangeable with a checkpoint of a single process.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.world_size  # Lightning's "auto" would create one group per node
        super().setup_environment()
        system = self.lightning_module
        assert system is not None
        # Lightning calls `configure_model` before `setup`, once per fit and test. The device mesh exists from here on.
        own, mesh = system.configure_model, self.device_mesh["data_parallel"]

        # Without functools.wraps: Lightning would unwrap the function and conclude that the hook is not overridden.
        def configure_model() -> None:
            own()
            shard(system, mesh)

        system.configure_model = configure_model  # type: ignore[method-assign]

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a checkpoint; for an evaluation, without the state of the optimizers.

        Lightning's reader fails if an optimizer has no state, as plain SGD has none.

        Raises:
            ZooError: if training would continue with such an optimizer.
        """
        assert self.lightning_module is not None
        optimizers = self.optimizers
        if self.lightning_module.trainer.state.fn == "fit":
            content = torch.load(checkpoint_path, mmap=True, map_location="cpu", weights_only=weights_only)
            if not all(state["state"] for state in content["optimizer_states"]):
                raise ZooError(
                    "FSDP cannot resume an optimizer without state, such as sgd without momentum: resume with trainer/ddp"
                )
        else:
            self.optimizers = []
        try:
            return super().load_checkpoint(checkpoint_path, weights_only)
        finally:
            self.optimizers = optimizers

    def on_validation_start(self) -> None:
        """Evaluate with rank 0's buffers on all ranks, as in DDP and in checkpoints (for example BatchNorm statistics)."""
        assert self.model is not None
        share_buffers(self.model)


def trainable_parameters_changed(trainer: Trainer) -> None:
    """Tell the strategy that parameters were frozen or unfrozen. Every process must call this.

    DDP synchronises the gradients of those parameters that trained when the model was wrapped, so the model is wrapped again.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy.model = strategy.lightning_module
        strategy.configure_ddp()


def share_buffers(network: nn.Module) -> None:
    """Copy rank 0's buffers, which are the ones in a checkpoint, to all ranks."""
    for buffer in network.buffers():
        distributed.broadcast(buffer, src=0)


def shard(system: LightningModule, mesh: DeviceMesh) -> None:
    """Shard every block of every network of a system, then the networks. A sharded system is left unchanged.

    A block is a child of a Sequential or a ModuleList that has parameters, such as a layer of an MLP or a stage of a ResNet.
    """
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for network in system.children():
        if isinstance(network, FSDPModule) or not any(True for _ in network.parameters()):
            continue
        blocks = [
            block
            for container in network.modules()
            if isinstance(container, nn.Sequential | nn.ModuleList)
            for block in container.children()
            if any(True for _ in block.parameters())
        ]
        # Inner blocks first, so that each parameter belongs to the innermost block around it.
        for block in reversed(blocks):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(network, mesh=mesh, mp_policy=policy)
        for name in public_methods(type(network)):
            register_fsdp_forward_method(network, name)


def public_methods(network: type) -> set[str]:
    """Return the public methods of our networks, such as `encode`. They need gathered parameters, as `forward` does.

    Methods of torch, torchvision and timm are left out: we call only `forward` of their networks, and some of the other methods
    compute nothing.
    """
    libraries = {"torch", "torchvision", "timm"}
    ours = [kind for kind in network.__mro__ if kind is not object and kind.__module__.split(".")[0] not in libraries]
    return {
        name
        for kind in ours
        for name, value in vars(kind).items()
        if isfunction(value) and name[0] != "_" and not hasattr(nn.Module, name)
    }
