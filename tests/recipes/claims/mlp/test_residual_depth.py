"""Arms start from equal weights and differ in the skip alone; with F = 0 only a pre-activation block is the identity."""

import pytest
import torch
import torch.nn.functional as F

from recipes.claims.mlp import residual_depth as claim


@pytest.mark.parametrize("setting", claim.SETTINGS)
def test_all_kinds_start_from_equal_weights(setting: claim.Setting) -> None:
    states = []
    for kind in claim.KINDS:
        torch.manual_seed(0)
        states.append(claim.DeepNet(kind, setting, 5, 8, 3).state_dict())
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], states[0][name]) for name in state)


def test_the_skip_is_all_that_a_post_activation_block_adds() -> None:
    torch.manual_seed(0)
    plain, post = claim.Block("plain", 8, batch_norm=False), claim.Block("post-activation", 8, batch_norm=False)
    post.load_state_dict(plain.state_dict())
    x = torch.randn(20, 8)
    residual = plain.linear2(F.relu(plain.linear1(x)))
    assert torch.equal(plain(x), F.relu(residual))
    assert torch.equal(post(x), F.relu(residual + x))


def test_with_no_residual_a_post_activation_block_is_a_relu() -> None:
    x, y = torch.randn(50, 8), torch.rand(50, 8)
    blocks = {kind: claim.Block(kind, 8, batch_norm=False) for kind in claim.KINDS}
    for block in blocks.values():
        for parameter in block.parameters():
            torch.nn.init.zeros_(parameter)
    assert torch.equal(blocks["pre-activation"](x), x)
    assert torch.equal(blocks["post-activation"](x), F.relu(x))
    assert torch.equal(blocks["post-activation"](y), y)  # what an earlier block puts out is not negative
    assert blocks["plain"](x).eq(0).all()


def test_the_gradient_of_a_pre_activation_network_with_no_residuals_is_undiminished() -> None:
    net = claim.DeepNet("pre-activation", "torch's init", 5, 8, 20)
    for block in net.blocks:
        torch.nn.init.zeros_(block.linear2.weight)
        torch.nn.init.zeros_(block.linear2.bias)
    states = net.states(torch.randn(4, 5))
    first, last = torch.autograd.grad(net.output(F.relu(states[-1])).square().sum(), [states[0], states[-1]])
    assert torch.equal(first, last)
