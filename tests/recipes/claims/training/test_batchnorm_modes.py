"""The controls of batch norm's modes remove the difference, and comparing leaves no trace in a network."""

import pytest
import torch
from torch import nn

from zoo.cli.claims import _load, claim_paths

module = _load(claim_paths()["batchnorm_modes"])


def net_with(norm: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), norm(8), nn.ReLU(), nn.Linear(8, 8), norm(8), nn.ReLU(), nn.Linear(8, 10)
    )


def test_differences_of_modes() -> None:
    torch.manual_seed(1)
    x = torch.randn(6, 1, 4, 4)
    batch = net_with(nn.BatchNorm1d)
    before = {name: value.clone() for name, value in batch.state_dict().items()}
    found = {arm: module.difference_of_modes(batch, x, arm).logits for arm in module.ARMS if arm != "layer norm"}
    assert found["batch norm"] > 0.1
    assert found["batch norm, statistics of the batch"] < 1e-5
    assert found["batch norm, momentum 1"] > 0.01
    assert all(value.equal(before[name]) for name, value in batch.state_dict().items())
    assert module.difference_of_modes(net_with(nn.LayerNorm), x, "layer norm").logits == 0


def test_momentum_one_is_what_torch_stores() -> None:
    x = torch.randn(5, 1, 4, 4)
    ours, theirs = net_with(nn.BatchNorm1d), net_with(nn.BatchNorm1d)
    module.adopt_statistics(ours, x, biased=False)
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.momentum = 1.0
    theirs.train()(x)
    assert torch.allclose(ours[2].running_var, theirs[2].running_var)
    assert torch.allclose(ours[5].running_mean, theirs[5].running_mean, atol=1e-6)
    assert ours[2].momentum == 0.1


def test_a_batch_of_one_is_refused_by_batch_norm_only() -> None:
    x = torch.randn(3, 1, 4, 4)
    assert module.refuses_one(net_with(nn.BatchNorm1d), x)
    assert not module.refuses_one(net_with(nn.LayerNorm), x)
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(8)(x[:1].flatten(1)[:, :8])
