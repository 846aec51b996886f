"""Data and training that claims share."""

import math

import pytest
import torch
from torch import nn

from zoo.cli.arms import accuracy, batches, conv_net, cosine, dense_net, difference, images, mean_and_error, train


def test_every_sample_comes_once_before_any_comes_again() -> None:
    rows = torch.cat(list(batches(10, 4, 5, seed=0)))
    assert rows[:10].sort().values.equal(torch.arange(10))
    assert rows[10:].sort().values.equal(torch.arange(10))
    assert not rows[:10].equal(rows[10:])


def test_a_batch_can_be_larger_than_the_data() -> None:
    (rows,) = batches(3, 8, 1, seed=0)
    assert rows.bincount().sort().values.tolist() == [2, 3, 3]


def test_a_step_is_the_gradient_times_the_scheduled_rate() -> None:
    data = images("digits").train
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    weight, bias = net[1].weight.detach().clone(), net[1].bias.detach().clone()
    rows = list(batches(len(data.y), 16, 2, seed=3))
    for lr, each in zip((0.5, 0.25), rows, strict=True):  # a cosine is at half its height after half of the steps
        x = data.x[each].flatten(1)
        error = ((x @ weight.T + bias).softmax(1) - nn.functional.one_hot(data.y[each], 10)) / 16
        weight -= lr * error.T @ x
        bias -= lr * error.sum(0)
    train(net, data, torch.optim.SGD(net.parameters(), lr=0.5), 2, 16, seed=3)
    assert torch.allclose(net[1].weight, weight, atol=1e-5)


def test_a_change_sees_the_rows_and_the_step() -> None:
    data, seen = images("digits").train, []
    net = dense_net([64])

    def change(x: torch.Tensor, y: torch.Tensor, rows: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert x.equal(data.x[rows])
        seen.append(step)
        return x, y

    train(net, data, torch.optim.SGD(net.parameters(), lr=0.1), 3, 8, seed=0, change=change)
    assert seen == [0, 1, 2]


def test_accuracy_is_measured_in_evaluation_mode_and_leaves_training_mode() -> None:
    data = images("digits").test
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.999), nn.Linear(64, 10)).train()
    assert accuracy(net, data) == accuracy(net, data)
    assert net.training


def test_errors_of_means() -> None:
    assert mean_and_error([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2) / math.sqrt(2)))
    assert mean_and_error([5.0]) == (5.0, 0.0)
    assert difference([1.0, 2.0], [0.5, 1.5]) == pytest.approx((0.5, 0.0))


def test_a_cosine_falls_from_one_to_zero() -> None:
    assert [cosine(share) for share in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0], abs=1e-6)


def test_images_are_normalised_and_few_are_stratified() -> None:
    splits = images("digits", num_train=100)
    assert splits.train.x.shape == (100, 1, 8, 8)
    assert splits.train.y.bincount().min() >= 9
    assert splits.val.x.mean().item() == pytest.approx(0, abs=0.1)
    assert splits.val.x.std().item() == pytest.approx(1, abs=0.1)


def test_a_head_that_averages_does_not_see_where_a_feature_is() -> None:
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 16, 16)
    x[:, :, 6:8, 6:8] = torch.randn(2, 2)
    for side, same in ((None, True), (16, False)):
        net = conv_net((4, 4), nn.BatchNorm2d, side).eval()
        assert torch.allclose(net(x), net(x.roll(2, 3)), atol=1e-6) == same
        assert net(x).shape == (1, 10)
