"""The arms of batch norm and learning rates start alike, and the control never changes its statistics."""

import torch
from torch import nn

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["batchnorm_rates"])


def linear_weights(net: nn.Module) -> list[torch.Tensor]:
    return [layer.weight for layer in net.modules() if isinstance(layer, nn.Linear)]


def test_arms_share_their_initial_weights() -> None:
    x = torch.randn(32, 1, 8, 8)
    nets = [module.build(arm, 0, 16, x) for arm in module.ARMS]
    for net in nets[1:]:
        assert all(map(torch.equal, linear_weights(nets[0]), linear_weights(net)))


def test_the_control_starts_as_batch_norm_does_and_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1, 8, 8)
    batch, fixed = (module.build(arm, 0, 16, x).train() for arm in ("batch norm", "fixed statistics"))
    assert torch.allclose(batch(x), fixed(x), atol=0.1)  # divisors n and n - 1 differ by a hundredth
    assert torch.allclose(fixed(3 * x)[:2], fixed(3 * x[:2]), atol=1e-5)  # no sample sees another one
    assert not torch.allclose(batch(x)[:2], batch(x[:2]), atol=0.1)
    for layer in fixed.modules():
        if isinstance(layer, module.FixedNorm):
            assert layer.num_batches_tracked == 1
