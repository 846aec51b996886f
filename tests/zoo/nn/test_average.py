"""The average equals its definition after every update, and its BatchNorm statistics are recomputed."""

import copy

import pytest
import torch
from torch import nn

from zoo.nn.average import Average


def test_parameters_and_buffers_are_averaged_and_counters_copied() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(network, decay=0.7)
    by_hand = {name: value.clone() for name, value in network.state_dict().items()}
    for num_updates, decay in enumerate([0.1, 2 / 11, 3 / 12]):  # (1 + n) / (10 + n)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        network(torch.randn(6, 3))  # updates BatchNorm's statistics
        average.update(network, num_updates)
        for name, value in network.state_dict().items():
            by_hand[name] = decay * by_hand[name] + (1 - decay) * value if value.is_floating_point() else value.clone()
    for name, value in average.module.state_dict().items():
        torch.testing.assert_close(value, by_hand[name])
    assert by_hand["1.num_batches_tracked"] == 3


def test_the_average_shares_no_parameters_and_has_no_gradients() -> None:
    network = nn.Linear(3, 4)
    average, x = Average(network, decay=0.9), torch.randn(2, 3)
    before = average(x)
    with torch.no_grad():
        network.weight.zero_()
    assert torch.equal(average(x), before)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert torch.equal(copy.deepcopy(average)(x), before)


def test_refreshed_statistics_are_those_of_the_averaged_weights() -> None:
    """The average of two opposite networks maps every input to 0, so its variance is 0, unlike theirs."""
    network, x = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4)), 5 * torch.randn(200, 3)
    average = Average(network, decay=0.5)
    with torch.no_grad():
        network[0].weight.neg_()  # type: ignore[union-attr, operator]
    network(x)
    average.update(network, num_updates=1000)
    assert average.module[1].running_var.min() > 0.5  # type: ignore[index, union-attr]
    average.refresh_statistics([(x[:100],), (x[100:],)])
    norm = average.module[1]  # type: ignore[index]
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert torch.equal(norm.running_var, torch.zeros(4))
    assert norm.momentum == 0.1
    with torch.no_grad():
        average.module[0].weight.copy_(torch.randn(4, 3))  # type: ignore[index, union-attr, operator]
    average.refresh_statistics([(x[:100],), (x[100:],)])
    maps = average.module[0](x)  # type: ignore[index, operator]
    expected = torch.stack([maps[:100].var(0), maps[100:].var(0)]).mean(0)
    torch.testing.assert_close(norm.running_var, expected)
    torch.testing.assert_close(norm.running_mean, maps.mean(0))


def test_a_short_average_holds_none_of_the_initial_weights() -> None:
    """After 100 updates towards 1 the old constant decay of 0.999 left 90 % of the initial 0."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = Average(network, decay=0.999)
    nn.init.ones_(network.weight)
    for num_updates in range(100):
        average.update(network, num_updates)
    assert average.module.weight.item() == pytest.approx(1, abs=1e-6)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("num_updates", "decay"), [(0, 0.1), (8, 0.5), (89, 90 / 99), (8990, 8991 / 9000), (8991, 0.999), (10**6, 0.999)]
)
def test_the_decay_rises_to_its_limit(num_updates: int, decay: float) -> None:
    assert Average(nn.Linear(1, 1), decay=0.999).decay_at(num_updates) == pytest.approx(decay)
