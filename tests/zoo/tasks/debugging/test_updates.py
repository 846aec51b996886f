"""Norms of gradients and updates equal those of autograd and of closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim import SGD, Optimizer

from zoo.tasks.debugging.updates import Norms, Updates, layer_of


def measured_step(network: nn.Module, optimizer: Optimizer) -> dict[str, Norms]:
    updates = Updates(network)
    updates.before(optimizer)
    optimizer.step()
    updates.after(optimizer)
    read, vector = updates.take()
    (found,) = read(vector)
    return found


def test_equal_autograd_and_the_closed_form_of_sgd() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    loss = network(torch.randn(5, 3, dtype=torch.float64)).square().sum()
    gradients = dict(zip(dict(network.named_parameters()), torch.autograd.grad(loss, list(network.parameters())), strict=True))
    weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    network.zero_grad()
    network(torch.zeros(1, 3, dtype=torch.float64))
    for name, parameter in network.named_parameters():
        parameter.grad = gradients[name].clone()
    found = measured_step(network, SGD(network.parameters(), lr=0.1))
    assert list(found) == ["0", "2"]
    for layer, norms in found.items():
        gradient, weight = (
            torch.cat([values[f"{layer}.{kind}"].flatten() for kind in ("weight", "bias")]).norm().item()
            for values in (gradients, weights)
        )
        assert norms.gradient == pytest.approx(gradient, rel=1e-12)
        assert norms.weight == pytest.approx(weight, rel=1e-12)
        assert norms.ratio == pytest.approx(0.1 * gradient / weight, rel=1e-12)


def test_layers_are_in_the_order_of_the_network() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = SGD([{"params": network[number].parameters()} for number in (2, 0, 1)], lr=0.1)
    assert list(measured_step(network, optimizer)) == ["0", "1", "2"]


def test_a_frozen_layer_is_left_out_and_one_without_a_gradient_is_0() -> None:
    network = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    found = measured_step(network, SGD(network.parameters(), lr=0.1))
    assert list(found) == ["1"]
    assert found["1"].gradient == found["1"].update == 0


def test_the_update_is_not_a_number_if_the_optimizer_has_not_stepped_or_the_weights_are_0() -> None:
    """A gradient scaler skips steps whose gradients are not finite."""
    network = nn.Sequential(nn.Linear(2, 2))
    updates = Updates(network)
    updates.before(optimizer := SGD(network.parameters(), lr=0.1))
    read, vector = updates.take()
    (found,) = read(vector)
    assert math.isnan(found["0"].update)
    assert found["0"].weight > 0
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    assert all(math.isnan(norms.ratio) for norms in measured_step(network, optimizer).values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_half_precision_do_not_overflow(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Linear(300, 300, bias=False)).to(dtype)
    network[0].weight.grad = torch.full_like(network[0].weight, 300.0)
    assert measured_step(network, SGD(network.parameters(), lr=0.0))["0"].gradient == pytest.approx(300 * 300, rel=1e-3)


def test_layers_are_named_by_the_module_that_owns_the_parameter() -> None:
    layer = nn.ModuleDict({"conv": parametrizations.spectral_norm(nn.Conv2d(1, 2, 3))})
    assert {layer_of(name) for name, _ in layer.named_parameters()} == {"conv"}
    assert layer_of("scale") == "scale"
    assert layer_of("net.hidden.0.weight") == "net.hidden.0"
