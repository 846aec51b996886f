"""Deep linear networks are one layer, also with biases, and the control differs in its activation only."""

import torch
from torch import nn

from recipes.claims.mlp import linear_collapse as claim
from zoo.mlp.mlp import MLPNet
from zoo.nn.activations import Activation


def net(activation: Activation) -> MLPNet:
    built = claim.build(activation, 5, [8, 8, 8], 3, seed=0)
    for layer in built.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.bias)
    return built


def test_two_layers_collapse_to_the_product_of_their_matrices() -> None:
    two = MLPNet((5,), 3, [4], "identity")
    first, second = two.hidden[0], two.output
    weight, bias = claim.collapse(two)
    assert torch.allclose(weight, second.weight.double() @ first.weight.double())
    assert torch.allclose(bias, second.bias.double() + second.weight.double() @ first.bias.double())


def test_only_the_relu_of_the_control_prevents_the_collapse() -> None:
    x = torch.randn(50, 5)
    linear, relu = net("identity"), net("relu")
    assert all(torch.equal(a, b) for a, b in zip(linear.parameters(), relu.parameters(), strict=True))
    assert claim.collapse_error(linear, x) < claim.EXACT
    assert claim.collapse_error(relu, x) > 0.1


def test_the_best_linear_classifier_has_no_gradient_left() -> None:
    torch.manual_seed(0)
    data = claim.draw_data("spirals", 100)
    best = claim.best_linear(data)
    loss = torch.nn.functional.cross_entropy(best(data.x.double()), data.y)
    assert max(gradient.abs().max() for gradient in torch.autograd.grad(loss, list(best.parameters()))) < 1e-7


def test_rings_lie_around_each_other_and_spirals_are_equal_up_to_half_a_turn() -> None:
    torch.manual_seed(0)
    x, y = claim.rings(400)
    assert x[y == 0].norm(dim=1).max() < 1.5 < x[y == 1].norm(dim=1).min()
    torch.manual_seed(0)
    x, y = claim.spirals(20_000)
    assert torch.allclose(x[y == 0].square().mean(0), x[y == 1].square().mean(0), atol=0.05)
    assert torch.allclose(x[y == 0].mean(0), -x[y == 1].mean(0), atol=0.05)
