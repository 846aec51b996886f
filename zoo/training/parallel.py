"""Plans that spread a model over processes; model files know nothing of them."""

from inspect import isfunction

import torch
from lightning import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method


class FSDP2(ModelParallelStrategy):
    """Fully sharded data parallelism (`fully_shard`) over all processes, on CPU (gloo) as on GPU (NCCL).

    Parameters, gradients and optimizer state are split; each block's parameters are gathered while it computes
    (ZeRO stage 3, Rajbhandari et al., 2020, arXiv:1910.02054). Gradients are reduced in fp32 at any precision.
    Checkpoints are single files of full weights, interchangeable with a single process's.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.world_size  # "auto" would mean one group per node
        super().setup_environment()
        system = self.lightning_module
        assert system is not None
        # Lightning calls this hook before `setup`, once per fit and test; the mesh exists from here on
        own, mesh = system.configure_model, self.device_mesh["data_parallel"]

        def configure_model() -> None:  # no functools.wraps: Lightning would look through it, and see no override
            own()
            shard(system, mesh)

        system.configure_model = configure_model  # type: ignore[method-assign]

    def on_validation_start(self) -> None:
        """Evaluate with rank 0's buffers everywhere, as with DDP and as the checkpoint holds them (BatchNorm's averages)."""
        assert self.model is not None
        share_buffers(self.model)


def share_buffers(network: nn.Module) -> None:
    """Give every process the buffers of rank 0, which are those that a checkpoint holds."""
    for buffer in network.buffers():
        distributed.broadcast(buffer, src=0)


def shard(system: LightningModule, mesh: DeviceMesh) -> None:
    """Shard every block of every network of a system, then the networks; again on a sharded system changes nothing.

    A block is what stands in a Sequential or a ModuleList and has parameters: a layer of an MLP, a stage of a ResNet.
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
        for block in reversed(blocks):  # inner ones first, so that a parameter belongs to its nearest block
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(network, mesh=mesh, mp_policy=policy)
        for name in _entrances(type(network)):
            register_fsdp_forward_method(network, name)


def _entrances(network: type) -> set[str]:
    """Public methods of a network, such as `encode`: parameters have to be gathered for them as for `forward`.

    Those of libraries' networks are left alone: `forward` is how we enter them, and not all of theirs compute.
    """
    libraries = {"torch", "torchvision", "timm"}
    ours = [kind for kind in network.__mro__ if kind is not object and kind.__module__.split(".")[0] not in libraries]
    return {
        name
        for kind in ours
        for name, value in vars(kind).items()
        if isfunction(value) and name[0] != "_" and not hasattr(nn.Module, name)
    }
