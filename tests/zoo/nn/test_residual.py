"""Residual blocks add their input where the papers add it."""

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck

from zoo.cnn.cifar_resnet import CIFARResNet
from zoo.errors import ZooError
from zoo.nn.residual import PostActivationBlock, PreActivationBlock, Skip, build_block, shortcut


def distinct(block: nn.Module) -> nn.Module:
    """Give scales, shifts and statistics distinct values, so that a layer in the wrong place shows."""
    for name, value in block.state_dict().items():
        if value.ndim == 1:
            value.uniform_(0.5, 2) if name.endswith("running_var") else value.normal_()
    return block


def normed(block: Any, name: str, x: torch.Tensor) -> torch.Tensor:
    bn = getattr(block, name)
    return F.batch_norm(x, bn.running_mean.clone(), bn.running_var.clone(), bn.weight, bn.bias, training=block.training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("skip", ["post", "none"])
def test_post_activation_is_relu_of_the_sum(skip: Skip, stride: int, training: bool) -> None:
    block: Any = distinct(build_block(skip, 4, 4 * stride, stride=stride)).train(training)
    x = torch.randn(3, 4, 6, 6)
    y = F.relu(normed(block, "bn1", F.conv2d(x, block.conv1.weight, stride=stride, padding=1)))
    y = normed(block, "bn2", F.conv2d(y, block.conv2.weight, padding=1))
    padded = x if stride == 1 else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    torch.testing.assert_close(block(x), F.relu(y + padded if skip == "post" else y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_pre_activation_is_the_sum_alone(stride: int, training: bool) -> None:
    block: Any = distinct(build_block("pre", 4, 4 * stride, stride=stride)).train(training)
    x = torch.randn(3, 4, 6, 6)
    y = F.conv2d(F.relu(normed(block, "bn1", x)), block.conv1.weight, stride=stride, padding=1)
    y = F.conv2d(F.relu(normed(block, "bn2", y)), block.conv2.weight, padding=1)
    padded = x if stride == 1 else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    torch.testing.assert_close(block(x), y + padded, rtol=1e-5, atol=1e-5)


def test_where_the_branch_is_0_only_pre_activation_is_the_identity() -> None:
    x = torch.randn(3, 4, 6, 6)
    assert torch.equal(PostActivationBlock(4, 4, zero_init=True)(x), x.relu())
    assert not torch.equal(PostActivationBlock(4, 4)(x), x.relu())
    pre = PreActivationBlock(4, 4)
    nn.init.zeros_(pre.conv2.weight)
    assert torch.equal(pre(x), x)
    plain: Any = build_block("none", 4, 4)
    nn.init.zeros_(plain.bn2.weight)
    assert not plain(x).any()


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 6)])
def test_the_shortcut_has_every_second_pixel_and_zeros_for_new_channels(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    oracle = torch.zeros(2, 10, (size[0] + 1) // 2, (size[1] + 1) // 2)
    for channel, row, column in product(range(4), range(oracle.shape[2]), range(oracle.shape[3])):
        oracle[:, 3 + channel, row, column] = x[:, channel, 2 * row, 2 * column]
    assert torch.equal(shortcut(x, stride=2, new_channels=6), oracle)
    assert shortcut(x, stride=1, new_channels=0) is x


@pytest.mark.parametrize("skip", ["post", "pre", "none"])
def test_gradients_are_those_of_the_values_and_the_input_stays_as_it_is(skip: Skip) -> None:
    block, x = build_block(skip, 2, 2).double(), torch.randn(2, 2, 3, 3, dtype=torch.float64)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)  # a sum in place would have changed it
    assert gradcheck(block, (x.requires_grad_(),))


def test_fifty_plain_layers_lose_the_gradient_that_pre_activation_keeps() -> None:
    """At the start, in evaluation mode: the size of the gradient of the first convolution relative to the last."""

    def ratio(skip: Skip) -> float:
        torch.manual_seed(0)
        net = CIFARResNet((1, 8, 8), 10, depth=50, width=4, skip=skip)
        net(torch.randn(32, 1, 8, 8)).square().mean().backward()
        layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        assert len(layers) == 49  # and one linear layer
        first, last = (layer.weight.grad.square().mean().sqrt() for layer in (layers[0], layers[-1]))  # type: ignore[union-attr]
        return (first / last).item()

    assert ratio("pre") > 0.1
    assert 0.1 < ratio("post") < ratio("none")  # batch norm makes a plain network's gradients grow backwards


@pytest.mark.parametrize(
    ("skip", "zero_init", "message"),
    [
        ("both", False, "unknown skip 'both': choose one of post, pre, none"),
        ("none", True, "a block that starts at 0 and has no skip passes nothing on"),
        ("pre", True, "zero_init sets the scale of the norm that ends a block, which blocks with skip 'pre' lack"),
    ],
)
def test_refuses_what_cannot_work(skip: Any, zero_init: bool, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        CIFARResNet((1, 8, 8), 10, depth=8, width=2, skip=skip, zero_init=zero_init)
