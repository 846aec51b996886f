"""Forecasts against a hand-written roll-out, their causality, their units, and their baselines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from datamodules import Series
from datamodules.core.batch import SequenceBatch
from zoo.cli.export import Format, export
from zoo.nn.cells import Kind
from zoo.rnn.forecaster import ForecastNet, RNNForecaster, Strategy
from zoo.training.checkpoint import AtomicCheckpointIO

PROGRESS = torch.tensor(0.5)
Fit = Callable[..., Trainer]
each_strategy = pytest.mark.parametrize("strategy", ["direct", "recursive"])
each_kind = pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
either_way = pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])


def windows(x: Tensor, y: Tensor) -> SequenceBatch:
    return SequenceBatch(x, torch.full((len(x),), x.shape[1]), y, torch.arange(len(x)))


def scaled(model: RNNForecaster, mean: list[float], std: list[float], naive_mae: list[float]) -> RNNForecaster:
    for name, values in (("target_mean", mean), ("target_std", std), ("naive_mae", naive_mae)):
        getattr(model, name).copy_(torch.tensor(values))
    return model


@each_kind
@either_way
def test_recursive_feeds_its_own_forecasts_back(kind: Kind, relative: bool) -> None:
    """Compare with reading the whole series again, each time with one more forecast appended."""
    torch.manual_seed(0)
    net = ForecastNet(2, 4, "recursive", kind, hidden_dim=8, num_layers=2, relative=relative).double()
    x = torch.randn(3, 6, 2, dtype=torch.float64)
    grown = x
    for _ in range(4):
        inputs = grown - x[:, :1] if relative else grown
        states, _ = net.recurrent(inputs)
        last = net.head(states[:, -1:]) + (grown[:, -1:] if relative else 0)
        grown = torch.cat([grown, last], dim=1)
    torch.testing.assert_close(net(x), grown[:, 6:].flatten(1))


@each_kind
@either_way
def test_teacher_forcing_sees_no_future(kind: Kind, relative: bool) -> None:
    """A value changes the predictions after it, and none before."""
    torch.manual_seed(0)
    net = ForecastNet(2, 4, "recursive", kind, hidden_dim=8, num_layers=2, relative=relative)
    x, future = torch.randn(3, 6, 2), torch.randn(3, 4, 2)
    before = net(x, future)
    assert before.shape == (3, 9, 2)  # a prediction after each of the ten values but the last
    for step in range(1, 10):  # the first value is the reference of a relative window
        other_x, other_future = x.clone(), future.clone()
        (other_x[:, step] if step < 6 else other_future[:, step - 6]).add_(1.0)
        after = net(other_x, other_future)
        assert torch.equal(after[:, :step], before[:, :step])
        assert (after[:, step:] != before[:, step:]).all()


def test_the_first_forecast_is_the_same_with_and_without_a_teacher() -> None:
    torch.manual_seed(0)
    net = ForecastNet(2, 4, "recursive", hidden_dim=8)
    x, future = torch.randn(3, 6, 2), torch.randn(3, 4, 2)
    torch.testing.assert_close(net(x)[:, :2], net(x, future)[:, 5])
    own = net(x).unflatten(1, (4, 2))
    torch.testing.assert_close(net(x, own)[:, 5:], own)  # teacher forcing with its own forecasts repeats them


@each_kind
def test_direct_is_a_linear_layer_on_the_last_state(kind: Kind) -> None:
    torch.manual_seed(0)
    net = ForecastNet(2, 3, "direct", kind, hidden_dim=8)
    x = torch.randn(5, 6, 2)
    states, _ = net.recurrent(x)
    torch.testing.assert_close(net(x), net.head(states[:, -1]))


@each_strategy
def test_relative_forecasts_move_with_the_level(strategy: Strategy) -> None:
    torch.manual_seed(0)
    net = ForecastNet(2, 3, strategy, hidden_dim=8, relative=True).double()
    x = torch.randn(5, 6, 2, dtype=torch.float64)
    shift = torch.tensor([100.0, -7.0], dtype=torch.float64)
    torch.testing.assert_close(net(x + shift), net(x) + shift.repeat(3))
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    torch.testing.assert_close(net(x), x[:, -1].repeat(1, 3))  # no change from the last value


def test_loss_of_recursive_is_of_every_next_value_of_context_and_horizon() -> None:
    torch.manual_seed(0)
    model = scaled(RNNForecaster((6, 1), 2, "recursive", hidden_dim=8), [10.0] * 2, [4.0] * 2, [1.0] * 2)
    x, y = torch.randn(3, 6, 1), 10 + 4 * torch.randn(3, 2)
    loss, outputs = model.step(windows(x, y), PROGRESS)
    series = torch.cat([x[..., 0], (y - 10) / 4], dim=1)
    one_step = model.net(x, ((y - 10) / 4)[:, :, None])[..., 0]
    torch.testing.assert_close(loss, (one_step - series[:, 1:]).square().mean())
    torch.testing.assert_close(outputs["preds"], 10 + 4 * model.net(x))
    assert not outputs["preds"].requires_grad  # forecasts are for metrics; single steps are trained
    _, other = model.step(windows(x, y + 1), PROGRESS)
    assert torch.equal(other["preds"], outputs["preds"])  # a forecast does not see the future


def test_direct_predicts_in_units_and_its_loss_counts_deviations() -> None:
    torch.manual_seed(0)
    model = scaled(RNNForecaster((6, 1), 2, hidden_dim=8), [10.0] * 2, [4.0] * 2, [1.0] * 2)
    x = torch.randn(3, 6, 1)
    loss, outputs = model.step(windows(x, 10 + 4 * (model.net(x) + 2)), PROGRESS)
    assert loss.item() == pytest.approx(4, rel=1e-4)
    torch.testing.assert_close(outputs["preds"], 10 + 4 * model.net(x))
    torch.testing.assert_close(outputs["preds"], model(x))


@each_strategy
def test_scaled_errors_are_those_of_the_book(strategy: Strategy) -> None:
    """Two channels with different units; a season of 3 in a context of 4, repeated over a horizon of 5."""
    mean, std, naive = [5.0, -1.0], [2.0, 0.5], [0.5, 4.0]
    model = RNNForecaster((4, 2), 10, strategy, hidden_dim=8, season=3)
    scaled(model, mean * 5, std * 5, naive * 5)
    context = torch.tensor([[[1.0, 10], [2, 20], [3, 30], [4, 40]]])
    y = torch.zeros(1, 10)
    x = (context - torch.tensor(mean)) / torch.tensor(std)
    _, outputs = model.step(windows(x, y), PROGRESS)
    assert outputs["naive_mase"].item() == pytest.approx((4 / 0.5 + 40 / 4) / 2)
    last_season = [2, 3, 4, 2, 3]
    expected = sum(v / 0.5 + 10 * v / 4 for v in last_season) / 10
    assert outputs["seasonal_mase"].item() == pytest.approx(expected, rel=1e-5)
    errors = outputs["preds"].abs() / torch.tensor(naive * 5)
    torch.testing.assert_close(outputs["mase"], errors.mean())
    assert not outputs["mase"].requires_grad
    assert "seasonal_mase" not in RNNForecaster((4, 2), 10).step(windows(x, y), PROGRESS)[1]


@each_strategy
def test_learns_the_scale_of_its_data_and_beats_saying_as_now(fit: Fit, strategy: Strategy) -> None:
    data = Series(context=32, horizon=5, batch_size=64, seed=0)
    model = RNNForecaster(data.input_shape, data.num_targets, strategy, hidden_dim=16, lr=0.01)
    trainer = fit(model, data, max_epochs=2, gradient_clip_val=1.0)
    for name in ("target_mean", "target_std", "naive_mae"):
        assert torch.equal(model.state_dict()[name], getattr(data, name))
    (scores,) = trainer.test(model, datamodule=data, verbose=False)
    assert scores["test/mase"] < 0.5 * scores["test/naive_mase"]
    (arrays, rows) = data.splits["test"]
    naive = (arrays.x[rows, -1:, 0] - arrays.y[rows]).abs().mean() / data.naive_mae[0]
    assert scores["test/naive_mase"] == pytest.approx(naive.item(), rel=1e-4)  # also with batches of different sizes


@each_strategy
def test_steps_on_the_meta_device(strategy: Strategy) -> None:
    model = RNNForecaster((6, 2), 6, strategy, season=2).to("meta")
    batch = windows(torch.randn(4, 6, 2), torch.randn(4, 6))
    loss, _ = model.step(batch._replace(x=batch.x.to("meta"), y=batch.y.to("meta")), PROGRESS.to("meta"))
    assert loss.is_meta


@pytest.mark.parametrize(("kind", "format", "num_layers"), [("lstm", "pt2", 2), ("gru", "onnx", 1)])
def test_exported_it_rolls_out_the_same(kind: Kind, format: Format, num_layers: int, fit: Fit, tmp_path: Path) -> None:
    """`export` reloads the file, compares it on two batch sizes, and raises if outputs differ."""
    data = Series(context=4, horizon=3, batch_size=512)
    model = RNNForecaster(data.input_shape, 3, "recursive", kind, hidden_dim=4, num_layers=num_layers, relative=True)
    trainer = fit(model, data, max_steps=1, limit_val_batches=0, plugins=[AtomicCheckpointIO()])
    trainer.save_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    assert export(tmp_path / "model.ckpt", format) == 0


def test_refuses_data_whose_inputs_and_targets_are_scaled_apart(fit: Fit) -> None:
    class Apart(Series):
        def setup(self, stage: str | None = None) -> None:
            super().setup(stage)
            self.target_mean = self.target_mean + 1

    with pytest.raises(
        ValueError, match=r"inputs are normalised by the mean \[.*\], targets by \[\[.*\]\]: a forecaster needs"
    ):
        fit(RNNForecaster((64, 1), 1), Apart(), max_steps=1)


def test_refuses_windows_that_are_not_full() -> None:
    batch = windows(torch.zeros(2, 6, 1), torch.zeros(2, 3))._replace(lengths=torch.tensor([6, 4]))
    with pytest.raises(ValueError, match="needs windows without padding: expected 6 steps, found 4"):
        RNNForecaster((6, 1), 3).on_train_batch_start(batch, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": None}, "input_shape is not known"),
        ({"num_targets": None}, "num_targets is not known"),
        ({"input_shape": (6,)}, r"expected input_shape \(T, C\), steps and channels of the context, got \(6,\)"),
        ({"num_targets": 5}, r"num_targets must be a multiple of the 2 channel\(s\), got 5"),
        ({"num_targets": 0}, r"num_targets must be a multiple of the 2 channel\(s\), got 0"),
        ({"season": 7}, "season must lie within the context of 6 steps, got 7"),
        ({"season": 0}, "season must lie within the context of 6 steps, got 0"),
        ({"strategy": "oracle"}, "unknown strategy 'oracle': choose one of direct, recursive"),
        ({"kind": "transformer"}, "unknown cell 'transformer'"),
        ({"hidden_dim": 0}, "hidden_dim and num_layers must be at least 1"),
        ({"dropout": 0.5}, "dropout acts between layers: set num_layers to 2 or more, or dropout to 0, got dropout 0.5"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
    ],
)
def test_refuses_what_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RNNForecaster(**{"input_shape": (6, 2), "num_targets": 4, **arguments})
