"""Freezing of parameters, and of the layers that hold them."""

from collections.abc import Collection

from torch import nn


def train_only(net: nn.Module, names: Collection[str]) -> bool:
    """Let the parameters with these names train, and freeze all others. Return whether that changed anything.

    A frozen parameter loses its gradient, so an optimizer that holds it skips it: neither momentum nor weight decay moves it.
    """
    changed = False
    for name, parameter in net.named_parameters():
        changed |= parameter.requires_grad != (name in names)
        parameter.requires_grad_(name in names)
        if not parameter.requires_grad:
            parameter.grad = None
    return changed


def evaluate_frozen(net: nn.Module) -> None:
    """Put every module whose parameters are all frozen into evaluation mode.

    A frozen BatchNorm would otherwise still move its statistics, and frozen layers would drop out units.
    """
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
