"""Compilation of a system's networks with `torch.compile`, for `zoo fit --compile`."""

from lightning import LightningModule
from torch import nn

from zoo.training.parallel import public_methods


def compile_networks(system: LightningModule) -> list[str]:
    """Compile every network of a system in place, and return the names of their classes. The names of weights do not change.

    The system itself cannot be compiled, because logging is not traceable and its state-dict keys would get a prefix. Only the
    call of a module is compiled, not its other methods. So of a network with public methods, such as `encode`, its children are
    compiled instead, such as the encoder. torch falls back to plain execution for what it cannot compile, such as `nn.LSTM` and
    packed sequences.
    """
    compiled = []
    for network in system.children():
        for module in _called(network):
            module.compile()
            compiled.append(type(module).__name__)
    return compiled


def _called(module: nn.Module) -> list[nn.Module]:
    """Return the modules with parameters that are called as a whole: `module` itself, or parts of it."""
    if not any(True for _ in module.parameters()):
        return []
    if isinstance(module, nn.ModuleList | nn.ModuleDict) or public_methods(type(module)):
        return [part for child in module.children() for part in _called(child)]
    return [module]
