"""Arms start from the weights that their names say, and clipping bounds an update but not the loss."""

import torch
from torch import nn

from recipes.claims.mlp import exploding_and_clipping as claim
from recipes.claims.mlp.linear_collapse import digits, fit


def hidden_weights(name: str) -> list[torch.Tensor]:
    net = claim.build(claim.ARMS[name], 0, 64, claim.SMALLEST)
    return [layer.weight for layer in net.hidden if isinstance(layer, nn.Linear)]


def test_all_arms_have_the_weights_of_the_control_times_2() -> None:
    control = hidden_weights("He's weights")
    for name in claim.ARMS:
        factor = 1 if name == "He's weights" else 2
        assert all(torch.equal(a, factor * b) for a, b in zip(hidden_weights(name), control, strict=True))


def test_each_arm_adds_one_thing() -> None:
    base = claim.ARMS["He's weights x 2"]
    for name, arm in claim.ARMS.items():
        assert sum(a != b for a, b in zip(arm, base, strict=True)) == (name != "He's weights x 2")


def test_clipping_bounds_the_step_and_leaves_the_loss() -> None:
    data, lr = digits(), 0.01
    net = claim.build(claim.ARMS["clipping to 1"], 0, 64, claim.FAST)
    before = [parameter.clone() for parameter in net.parameters()]
    (loss,) = fit(net, data, torch.optim.SGD(net.parameters(), lr=lr), 1, max_norm=1.0)
    step = torch.stack([(a - b).norm() for a, b in zip(net.parameters(), before, strict=True)]).norm()
    assert loss > 100
    assert step <= lr * 1.01
