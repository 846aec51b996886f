"""Both arms start from equal weights; a unit is dead if it never fires and has no gradient."""

import torch
from torch import nn

from recipes.claims.mlp import dead_relu as claim
from recipes.claims.mlp.linear_collapse import digits


def test_both_arms_start_from_equal_weights() -> None:
    relu, leaky = (claim.build(name, 8, seed=1) for name in claim.NAMES)
    assert all(torch.equal(a, b) for a, b in zip(relu.parameters(), leaky.parameters(), strict=True))


def test_a_unit_that_is_pushed_far_below_0_is_dead_as_a_relu_and_silent_as_a_leaky_one() -> None:
    data = digits()
    for name in claim.NAMES:
        net = claim.build(name, 8, seed=1)
        with torch.no_grad():
            second = [layer for layer in net.hidden if isinstance(layer, nn.Linear)][1]
            second.bias[3] = -1000.0
        silent, dead = claim.count(net, data)
        assert silent[1, 3]
        assert dead[1, 3] == (name == "relu")


def test_a_dead_unit_of_the_first_layer_stays_dead() -> None:
    """No gradient reaches its weights, and its inputs do not change."""
    data = digits()
    net = claim.build("relu", 8, seed=1)
    with torch.no_grad():
        net.hidden[0].bias[3] = -1000.0
    weight = net.hidden[0].weight[3].clone()
    claim.fit(net, data, torch.optim.Adam(net.parameters(), lr=0.01), 20)
    assert torch.equal(net.hidden[0].weight[3], weight)
    assert claim.count(net, data)[1][0, 3]
