import torch
from torch import nn

from zoo.nn.freezing import evaluate_frozen, train_only


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def test_only_the_named_parameters_train() -> None:
    net = small()
    assert train_only(net, {"3.weight", "3.bias"})
    assert [name for name, parameter in net.named_parameters() if parameter.requires_grad] == ["3.weight", "3.bias"]
    assert not train_only(net, {"3.weight", "3.bias"})
    assert train_only(net, {name for name, _ in net.named_parameters()})


def test_an_optimizer_does_not_move_frozen_parameters() -> None:
    """Neither the gradient of an earlier step, nor momentum, nor weight decay."""
    net = small()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.1)
    net(torch.randn(8, 3)).sum().backward()
    optimizer.step()
    train_only(net, {"3.weight", "3.bias"})
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    net(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()
    moved = {name for name, parameter in net.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"3.weight", "3.bias"}


def test_frozen_norms_keep_their_statistics_and_frozen_blocks_drop_nothing() -> None:
    net = nn.Sequential(small(), nn.Dropout(0.5), nn.Linear(2, 2))
    train_only(net, {"2.weight", "2.bias"})
    net.train()
    evaluate_frozen(net)
    mean = net[0][1].running_mean.clone()
    assert torch.equal(net[0](x := torch.randn(8, 3)), net[0](x))
    assert torch.equal(net[0][1].running_mean, mean)
    assert net[1].training  # the dropout before the head
    assert net[2].training
