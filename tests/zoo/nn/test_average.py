"""An average against its definition, update by update."""

import copy

import torch
from torch import nn

from zoo.nn.average import Average


def test_parameters_and_buffers_are_averaged_and_counters_copied() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(network, decay=0.7)
    by_hand = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(3):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        network(torch.randn(6, 3))  # moves BatchNorm's statistics
        average.update(network)
        for name, value in network.state_dict().items():
            by_hand[name] = 0.7 * by_hand[name] + 0.3 * value if value.is_floating_point() else value.clone()
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, by_hand[name])
    assert by_hand["1.num_batches_tracked"] == 3


def test_it_shares_nothing_and_is_not_learned() -> None:
    network = nn.Linear(3, 4)
    average, x = Average(network, decay=0.9), torch.randn(2, 3)
    before = average(x)
    with torch.no_grad():
        network.weight.zero_()
    assert torch.equal(average(x), before)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert torch.equal(copy.deepcopy(average)(x), before)
