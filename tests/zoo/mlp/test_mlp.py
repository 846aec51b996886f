"""An MLP's arithmetic, its losses and the units of its predictions."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning import Trainer
from torch import Tensor

from datamodules import Tabular
from datamodules.core.batch import Batch
from zoo.mlp.mlp import MLPBinaryClassifier, MLPClassifier, MLPNet, MLPRegressor
from zoo.training.system import System

PROGRESS = torch.zeros(())
SYSTEMS = [(MLPClassifier, {"num_classes": 3}), (MLPBinaryClassifier, {"num_classes": 2}), (MLPRegressor, {"num_targets": 1})]


def batch_of(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.arange(len(x)))


def test_parameter_count_has_a_closed_form() -> None:
    net = MLPNet((1, 28, 28), 10, hidden_dims=(256, 256))
    counted = sum(parameter.numel() for parameter in net.parameters())
    assert counted == (784 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 10 == 269_322


def test_forward_is_two_matrix_products_with_a_relu_between() -> None:
    net, x = MLPNet((2, 3), 4, hidden_dims=(5,)), torch.randn(7, 2, 3)
    first, last = net.hidden[0], net.output
    with torch.no_grad():
        first.bias.normal_()
        last.bias.normal_()
    oracle = torch.relu(x.reshape(7, 6) @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(net(x), oracle)


def test_hidden_layer_is_linear_norm_activation_dropout_in_this_order() -> None:
    net = MLPNet((6,), 4, hidden_dims=(50,), activation="tanh", norm="batch", dropout=0.5)
    x, first, norm = torch.randn(8, 6), net.hidden[0], net.hidden[1]
    with torch.no_grad():  # without this the order of norm and dropout has hardly any effect
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    state = torch.get_rng_state()
    actual = net(x)
    torch.set_rng_state(state)
    h = first(x)
    h = (h - h.mean(0)) / torch.sqrt(h.var(0, correction=0) + 1e-5) * norm.weight + norm.bias
    oracle = net.output(F.dropout(torch.tanh(h), 0.5))
    torch.testing.assert_close(actual, oracle)


def test_last_layer_has_neither_norm_nor_dropout() -> None:
    net = MLPNet((3,), 4, hidden_dims=(), norm="batch", dropout=0.9)
    x = torch.randn(1, 3)  # batch norm would refuse a batch of 1
    assert torch.equal(net(x), F.linear(x, net.output.weight, net.output.bias))


def test_hidden_layers_start_for_their_activation_and_the_last_for_none() -> None:
    net = MLPNet((400,), 300, hidden_dims=(400,), activation="tanh", init="he")
    assert net.hidden[0].weight.std().item() == pytest.approx((5 / 3) / 400**0.5, rel=0.01)
    assert net.output.weight.std().item() == pytest.approx(1 / 400**0.5, rel=0.01)


def test_dropout_rests_in_evaluation() -> None:
    net, x = MLPNet((3,), 4, dropout=0.5), torch.randn(5, 3)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_dropout_has_a_rate_for_each_layer_and_keeps_the_expectation() -> None:
    """Inverted dropout divides survivors by their probability, so evaluation scales nothing (Srivastava et al., 2014)."""
    net = MLPNet((4,), 2, hidden_dims=(6, 5, 3), dropout=[0.0, 0.5, 0.9])
    drops = [layer for layer in net.hidden if isinstance(layer, torch.nn.Dropout)]
    assert [layer.p for layer in drops] == [0.0, 0.5, 0.9]
    ones = torch.ones(200_000)
    for layer in drops:
        y = layer.train()(ones)
        keep = 1 - layer.p
        assert set(y.unique().tolist()) <= {0.0, torch.tensor(1 / keep).item()}
        assert (y > 0).float().mean().item() == pytest.approx(keep, abs=0.005)
        assert y.mean().item() == pytest.approx(1, abs=0.02)
        assert torch.equal(layer.eval()(ones), ones)


@pytest.mark.parametrize(("name", "kind"), [("batch", "BatchNorm1d"), ("layer", "LayerNorm"), ("group", "GroupNorm")])
def test_every_norm_stands_before_the_activation(name: Any, kind: str) -> None:
    net = MLPNet((4,), 2, hidden_dims=(16,), norm=name)
    assert [type(layer).__name__ for layer in net.hidden] == ["Linear", kind, "ReLU", "Dropout"]
    groups: Any = MLPNet((4,), 2, hidden_dims=(16,), norm="group", norm_groups=4).hidden[1]
    assert groups.num_groups == 4


@pytest.mark.parametrize("init", ["he", "xavier", "lecun", "orthogonal"])
def test_every_scheme_reaches_all_layers(init: Any) -> None:
    net = MLPNet((4,), 2, hidden_dims=(16, 16), init=init)
    assert not any(layer.bias.any() for layer in [*net.hidden, net.output] if isinstance(layer, torch.nn.Linear))


def test_without_an_activation_it_is_one_linear_map() -> None:
    net = MLPNet((6,), 4, hidden_dims=(9, 8), activation="identity")
    layers = [layer for layer in [*net.hidden, net.output] if isinstance(layer, torch.nn.Linear)]
    weight, bias = torch.eye(6), torch.zeros(6)
    with torch.no_grad():
        for layer in layers:
            layer.bias.normal_()
            weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    x = torch.randn(5, 6)
    torch.testing.assert_close(net(x), x @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_with_one_it_is_not() -> None:
    net = MLPNet((6,), 4, activation="relu")
    x = torch.randn(5, 6)
    assert not torch.allclose(net(x) + net(-x), 2 * net(0 * x), atol=0.1)


@pytest.mark.parametrize(("system", "facts"), SYSTEMS)
def test_refuses_inputs_of_another_shape(system: type[System], facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"built for inputs of shape \(1, 8, 8\), got \(8, 8, 1\)"):
        system(input_shape=(1, 8, 8), **facts)(torch.zeros(2, 8, 8, 1))


def test_gradient_of_cross_entropy_is_p_minus_y_over_the_batch_size() -> None:
    model, y = MLPClassifier((5,), 3), torch.tensor([0, 2, 1, 1])
    loss, outputs = model.step(batch_of(torch.randn(4, 5), y), PROGRESS)
    (gradient,) = torch.autograd.grad(loss, outputs["preds"])
    torch.testing.assert_close(gradient, (outputs["preds"].softmax(1) - F.one_hot(y, 3)) / 4)


def test_label_smoothing_is_for_training_only() -> None:
    model, batch = MLPClassifier((5,), 3, label_smoothing=0.3), batch_of(torch.randn(4, 5), torch.tensor([0, 2, 1, 1]))
    logp = model(batch.x).log_softmax(1)
    plain = -logp.gather(1, batch.y[:, None]).mean()
    torch.testing.assert_close(model.step(batch, PROGRESS)[0], 0.7 * plain - 0.3 * logp.mean())
    torch.testing.assert_close(model.eval().step(batch, PROGRESS)[0], plain)


def test_binary_loss_is_minus_log_p_of_what_was_true() -> None:
    model, batch = MLPBinaryClassifier((5,), 2), batch_of(torch.randn(4, 5), torch.tensor([0, 1, 1, 0]))
    p = model(batch.x).tolist()
    by_hand = -sum(math.log(pi if y else 1 - pi) for pi, y in zip(p, batch.y.tolist(), strict=True)) / 4
    assert model.step(batch, PROGRESS)[0].item() == pytest.approx(by_hand, rel=1e-5)


def test_binary_probability_is_the_softmax_of_two_logits_of_which_one_is_zero() -> None:
    model, x = MLPBinaryClassifier((5,), 2), torch.randn(4, 5)
    logit = model.net(x)
    oracle = torch.cat([torch.zeros_like(logit), logit], dim=1).softmax(1)[:, 1]
    torch.testing.assert_close(model(x), oracle)
    torch.testing.assert_close(model.step(batch_of(x, torch.ones(4).long()), PROGRESS)[1]["preds"], oracle)


def test_binary_loss_and_its_gradient_stay_finite_where_the_probability_is_1() -> None:
    model = MLPBinaryClassifier((1,), 2, hidden_dims=())
    torch.nn.init.constant_(model.net.output.weight, 100.0)
    loss, outputs = model.step(batch_of(torch.ones(1, 1), torch.tensor([0])), PROGRESS)
    assert outputs["preds"].item() == 1.0
    assert loss.item() == pytest.approx(100)  # log(1 - p) would be -inf
    loss.backward()
    assert model.net.output.weight.grad.item() == pytest.approx(1)


def test_binary_accuracy_is_right_where_all_logits_lie_between_0_and_1() -> None:
    model = MLPBinaryClassifier((1,), 2, hidden_dims=())
    torch.nn.init.ones_(model.net.output.weight)
    x, y = torch.tensor([[0.1], [0.2], [0.3], [0.9]]), torch.tensor([1, 1, 1, 1])
    outputs = model.step(batch_of(x, y), PROGRESS)[
        1
    ]  # all logits are above 0, which means class 1; read as probabilities, three would mean class 0
    assert float(model.metrics["val_metrics"](outputs["preds"], outputs["target"])["val/acc"]) == 1.0


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (0.5, 0.25)])
def test_focal_loss_trains_and_evaluation_keeps_the_cross_entropy(gamma: float, alpha: float | None) -> None:
    loss: Any = {"name": "focal", "gamma": gamma, **({} if alpha is None else {"alpha": alpha})}
    model, batch = MLPBinaryClassifier((5,), 2, loss=loss), batch_of(torch.randn(4, 5), torch.tensor([0, 1, 1, 0]))
    p = model(batch.x)
    p_t = torch.where(batch.y == 1, p, 1 - p)
    alpha_t = 1.0 if alpha is None else torch.where(batch.y == 1, alpha, 1 - alpha)
    torch.testing.assert_close(model.step(batch, PROGRESS)[0], (-alpha_t * (1 - p_t) ** gamma * p_t.log()).mean())
    torch.testing.assert_close(model.eval().step(batch, PROGRESS)[0], -p_t.log().mean())


def test_a_prior_is_predicted_at_the_start() -> None:
    model = MLPBinaryClassifier((5,), 2, loss={"name": "focal", "prior": 0.01})
    assert model(torch.zeros(1, 5)).item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ({"name": "mse"}, lambda e: e**2),
        ({"name": "mae"}, abs),
        ({"name": "huber", "delta": 0.5}, lambda e: 0.5 * e**2 if abs(e) <= 0.5 else 0.5 * (abs(e) - 0.25)),
    ],
)
def test_regressors_train_with_the_loss_and_evaluate_with_the_squared_error(loss: Any, formula: Any) -> None:
    model, batch = MLPRegressor((5,), 2, loss=loss), batch_of(torch.randn(4, 5), 3 * torch.randn(4, 2))
    model.target_std.fill_(3)
    errors = ((model(batch.x) - batch.y) / 3).flatten().tolist()
    by_hand = sum(formula(error) for error in errors) / 8
    assert model.step(batch, PROGRESS)[0].item() == pytest.approx(by_hand, rel=1e-5)
    assert model.eval().step(batch, PROGRESS)[0].item() == pytest.approx(sum(e**2 for e in errors) / 8, rel=1e-5)


def test_regressor_predicts_in_the_targets_units_and_its_loss_counts_deviations() -> None:
    model = MLPRegressor((5,), 2)
    model.target_mean.copy_(torch.tensor([100.0, -5.0]))
    model.target_std.copy_(torch.tensor([10.0, 0.5]))
    x = torch.randn(4, 5)
    unit = model.net(x)
    off_by_two_deviations = (unit + 2) * torch.tensor([10.0, 0.5]) + torch.tensor([100.0, -5.0])
    loss, outputs = model.step(batch_of(x, off_by_two_deviations), PROGRESS)
    assert loss.item() == pytest.approx(4, rel=1e-4)
    torch.testing.assert_close(outputs["preds"], unit * torch.tensor([10.0, 0.5]) + torch.tensor([100.0, -5.0]))
    assert torch.equal(outputs["preds"], model(x))


def test_regressor_learns_the_scale_of_its_data_and_keeps_it_in_its_weights(fit: Callable[..., Trainer]) -> None:
    data, model = Tabular("diabetes"), MLPRegressor((10,), 1, hidden_dims=(4,))
    fit(model, data, max_steps=1)
    (_, y, _), rows = data.splits["train"]
    torch.testing.assert_close(model.state_dict()["target_mean"], y[rows].mean(0))
    torch.testing.assert_close(model.state_dict()["target_std"], y[rows].std(0, correction=0))
    assert model.state_dict()["target_mean"].item() > 100  # disease progression, not a standardised number
    twin = MLPRegressor((10,), 1, hidden_dims=(4,))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(torch.ones(1, 10)), model(torch.ones(1, 10)))


def test_regressor_refuses_targets_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match=r"targets must be of shape \(B, 1\), got \(4,\)"):
        MLPRegressor((5,), 1).on_train_batch_start(batch_of(torch.randn(4, 5), torch.randn(4)), 0)


@pytest.mark.parametrize(("system", "facts"), SYSTEMS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": None}, "input_shape is not known"),
        ({"hidden_dims": (8, 0)}, r"hidden_dims must be positive, got \[8, 0\]"),
        ({"activation": "softplus"}, "unknown activation 'softplus'"),
        ({"activation": "softmax"}, "activation 'softmax' .* is for outputs only"),
        ({"norm": "grouped"}, "unknown norm 'grouped'"),
        ({"norm": "instance"}, "norm 'instance' normalises maps"),
        ({"norm": "group", "norm_groups": 3}, "norm_groups must divide the width 256, got 3"),
        ({"norm_groups": 4}, "norm_groups 4 has no effect with norm 'none'"),
        ({"dropout": [0.1]}, "dropout must be one number, or one for each of 2 hidden layers"),
        ({"loss": {"name": "hinge"}}, "unknown loss 'hinge': choose one of"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), got -0.1"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"optim": {"name": "adamv"}}, "unknown optimizer 'adamv'"),
    ],
)
def test_refuses_what_cannot_work(
    system: Callable[..., System], facts: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        system(**{"input_shape": (4,), **facts, **arguments})


@pytest.mark.parametrize(
    ("system", "arguments", "message"),
    [
        (MLPClassifier, {"num_classes": None}, "num_classes is not known"),
        (MLPClassifier, {"num_classes": 3, "label_smoothing": 1.0}, r"label_smoothing must lie in \[0, 1\), got 1.0"),
        (MLPClassifier, {"num_classes": 3, "label_smoothing": -0.1}, r"label_smoothing must lie in \[0, 1\), got -0.1"),
        (MLPBinaryClassifier, {"num_classes": None}, "num_classes is not known"),
        (MLPBinaryClassifier, {"num_classes": 3}, "needs 2 classes, the data has 3: use zoo.MLPClassifier"),
        (MLPRegressor, {"num_targets": None}, "num_targets is not known"),
    ],
)
def test_refuses_what_only_this_system_cannot_do(
    system: Callable[..., System], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        system(input_shape=(4,), **arguments)


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_validation_batch_start", "on_test_batch_start"])
@pytest.mark.parametrize(("model", "label"), [(MLPClassifier((4,), 3), 3), (MLPBinaryClassifier((4,), 2), 2)])
def test_refuses_labels_it_has_no_output_for(hook: str, model: System, label: int) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0\.\.{label - 1}, found 0\.\.{label}"):
        getattr(model, hook)(batch_of(torch.zeros(2, 4), torch.tensor([0, label])), 0)
