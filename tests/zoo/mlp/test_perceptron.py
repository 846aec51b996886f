"""Rosenblatt's rule against a hand-written one, and the gradient of logistic regression."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from datamodules.core.batch import Batch
from zoo.mlp.perceptron import Perceptron, perceptron_loss
from zoo.training.optim import configure

PROGRESS = torch.zeros(())


def batch_of(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def rosenblatt(num_features: int, num_classes: int) -> tuple[Perceptron, torch.optim.Optimizer]:
    optim = {"name": "momentum", "momentum": 0.0, "schedule": "constant"}  # timm's name for SGD without Nesterov
    model = Perceptron((num_features,), num_classes, rule="perceptron", lr=1.0, optim=optim)  # type: ignore[arg-type]  # plain dict
    built: Any = configure(model, model.lr, model.optim, total_steps=1, monitor="val/loss")
    return model, built["optimizer"]


def learn(model: Perceptron, optimizer: torch.optim.Optimizer, x: Tensor, y: int) -> None:
    """Take one optimizer step on one sample."""
    optimizer.zero_grad()
    model.step(batch_of(x[None], torch.tensor([y])), PROGRESS)[0].backward()
    optimizer.step()


def test_a_mistake_moves_the_input_from_the_winners_weights_to_the_right_classs() -> None:
    model, optimizer = rosenblatt(2, 3)
    linear, x = model.net.linear, torch.tensor([2.0, -1.0])
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))  # scores 2, -1, 0: class 0 wins
    learn(model, optimizer, x, y=1)
    assert torch.equal(linear.weight, torch.tensor([[-1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    assert torch.equal(linear.bias, torch.tensor([-1.0, 1.0, 0.0]))


def test_a_right_answer_changes_nothing() -> None:
    model, optimizer = rosenblatt(2, 3)
    with torch.no_grad():
        model.net.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    before = model.net.linear.weight.clone()
    learn(model, optimizer, torch.tensor([2.0, -1.0]), y=0)
    assert torch.equal(model.net.linear.weight, before)


def test_equals_rosenblatts_algorithm_step_by_step_and_stops_on_separable_data() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, generator=generator)
    x = x[(x[:, 0] + x[:, 1]).abs() > 0.3]  # a margin, so that the convergence theorem holds with a small bound
    y = (x[:, 0] + x[:, 1] > 0).long()
    model, optimizer = rosenblatt(2, 2)
    w, b, mistakes_by_epoch = torch.zeros(2), 0.0, []  # for two classes: w = w_1 - w_0, and a mistake moves it by 2 x
    for _ in range(50):
        mistakes = 0
        for xi, yi in zip(x, y.tolist(), strict=True):
            if int(float(w @ xi) + b > 0) != yi:
                sign = 2.0 if yi else -2.0
                w, b, mistakes = w + sign * xi, b + sign, mistakes + 1
            learn(model, optimizer, xi, yi)
            weight, bias = model.net.linear.weight.detach(), model.net.linear.bias.detach()
            torch.testing.assert_close(weight[1] - weight[0], w)
            assert (bias[1] - bias[0]).item() == b
        mistakes_by_epoch.append(mistakes)
    assert mistakes_by_epoch[0] > 0
    assert mistakes_by_epoch[-10:] == [0] * 10
    assert torch.equal(model(x).argmax(1), y)


def test_perceptron_loss_is_the_winners_lead_and_zero_when_right() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0]])
    assert perceptron_loss(logits, torch.tensor([0, 0])).item() == 0
    assert perceptron_loss(logits, torch.tensor([0, 2])).item() == (0 + 3) / 2


def test_gradient_of_cross_entropy_is_p_minus_y_times_x() -> None:
    model = Perceptron((3,), 4)
    torch.nn.init.normal_(model.net.linear.weight)
    x, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 0, 1])
    model.step(batch_of(x, y), PROGRESS)[0].backward()
    error = (model(x).softmax(1) - F.one_hot(y, 4)).detach() / 6
    torch.testing.assert_close(model.net.linear.weight.grad, error.T @ x)
    torch.testing.assert_close(model.net.linear.bias.grad, error.sum(0))


def test_starts_undecided() -> None:
    assert torch.equal(Perceptron((1, 8, 8), 10)(torch.randn(2, 1, 8, 8)), torch.zeros(2, 10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": None}, "input_shape is not known"),
        ({"num_classes": None}, "num_classes is not known"),
        ({"rule": "hinge"}, "unknown rule 'hinge': choose one of cross_entropy, perceptron"),
        ({"lr": -1.0}, "lr must be positive, got -1.0"),
        ({"optim": {"schedule": "steps"}}, "unknown schedule 'steps'"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Perceptron(**{"input_shape": (4,), "num_classes": 3, **arguments})


def test_refuses_inputs_of_another_shape_and_labels_without_an_output() -> None:
    model = Perceptron((4,), 3)
    with pytest.raises(ValueError, match=r"built for inputs of shape \(4,\), got \(5,\)"):
        model(torch.zeros(1, 5))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2, found 3\.\.3"):
        model.on_train_batch_start(batch_of(torch.zeros(1, 4), torch.tensor([3])), 0)


def test_the_perceptron_rule_has_no_class_weights() -> None:
    assert Perceptron((2,), 3, class_weights="balanced").class_weights is not None
    with pytest.raises(ValueError, match="the perceptron rule has no class weights"):
        Perceptron((2,), 3, rule="perceptron", class_weights="balanced")
