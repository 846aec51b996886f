"""Recurrent forecasters: predict the values that follow a series, all at once or one after the other.

Shapes: B batch, T steps of context, H steps of horizon, C channels.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.cells import Kind
from zoo.nn.losses import TargetLoss
from zoo.nn.recurrent import Recurrent
from zoo.tasks.regression.base import Regressor
from zoo.tasks.regression.forecasts import Forecasts
from zoo.training.optim import Optim
from zoo.training.reporting import facts
from zoo.training.system import Outputs, require

Strategy = Literal["direct", "recursive"]
# defaults of the network and its system
STRATEGY: Strategy = "direct"
KIND: Kind = "lstm"
HIDDEN_DIM = 64


class ForecastNet(nn.Module):
    """Recurrent layers and one linear layer: contexts (B, T, C) to forecasts (B, H C), on the same scale.

    Args:
        num_channels: C.
        horizon: H.
        strategy: "direct": predict all H steps from the last state. "recursive": predict one step at a time and feed each
            prediction back as the next input.
        kind: type of cell.
        hidden_dim: size of the hidden state.
        num_layers: number of stacked recurrent layers.
        dropout: probability between recurrent layers.
        relative: subtract the first value of a window from its inputs, and forecast the change from its last value. A series
            with a trend needs this, because its test windows lie on levels that no training window had.
    """

    def __init__(
        self,
        num_channels: int,
        horizon: int,
        strategy: Strategy = STRATEGY,
        kind: Kind = KIND,
        *,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        dropout: float = 0.0,
        relative: bool = False,
    ) -> None:
        super().__init__()
        check_choice("strategy", strategy, get_args(Strategy))
        self.horizon, self.strategy, self.relative = horizon, strategy, relative
        self.recurrent = Recurrent(kind, num_channels, hidden_dim, num_layers=num_layers, dropout=dropout)
        self.head = nn.Linear(hidden_dim, num_channels * (horizon if strategy == "direct" else 1))

    def forward(self, x: Tensor, future: Tensor | None = None) -> Tensor:
        """Forecast (B, H C) from a context alone, or predict with teacher forcing if the true `future` (B, H, C) is given.

        With teacher forcing, which needs the recursive strategy, the result (B, T + H - 1, C) is the prediction of each value
        from the true values before it.
        """
        if future is not None:
            seen = torch.cat([x, future[:, :-1]], dim=1)
            states, _ = self.recurrent(self._inputs(seen, x))
            return self._outputs(states, seen)
        return self._direct(x) if self.strategy == "direct" else self._roll_out(x).flatten(1)

    def _direct(self, x: Tensor) -> Tensor:
        _, final = self.recurrent(self._inputs(x, x))
        changes = self.head(final).unflatten(1, (self.horizon, -1))
        return (changes + x[:, -1:] if self.relative else changes).flatten(1)

    def _roll_out(self, x: Tensor) -> Tensor:
        """Forecast (B, H, C) step by step, feeding each prediction back as the next input."""
        states, state = self.recurrent.run(self._inputs(x, x))
        values = [self._outputs(states[:, -1:], x[:, -1:])]
        while len(values) < self.horizon:
            states, state = self.recurrent.run(self._inputs(values[-1], x), state)
            values.append(self._outputs(states, values[-1]))
        return torch.cat(values, dim=1)

    def _inputs(self, x: Tensor, window: Tensor) -> Tensor:
        return x - window[:, :1] if self.relative else x

    def _outputs(self, states: Tensor, x: Tensor) -> Tensor:
        return self.head(states) + x if self.relative else self.head(states)


class RNNForecaster(Regressor):
    """Recurrent network that forecasts the H steps after a context, in the original units of the series.

    By default, the loss is the squared error. "direct" compares its H predicted steps. "recursive" compares every next value of
    context and horizon, each predicted from the true values before it (teacher forcing: Williams & Zipser, 1989). With both
    strategies, `preds` are forecasts from the context alone.

    Logs RMSE and R2 over all steps and channels, and `mase`, the mean absolute scaled error (Hyndman & Koehler, 2006): the mean
    absolute error divided by `naive_mae`, the error on the training part of predicting that the next value equals the current
    one. Two baselines are logged on the same windows: `naive_mase` repeats the last value, and `seasonal_mase` repeats the last
    season (if `season` is set). A model that does not beat them has learned nothing.

    The datamodule must normalise the inputs with the mean and deviation of the targets, per channel.

    Args:
        season: steps after which the series repeats approximately, at most T.
    """

    monitor = ("val/rmse", "min")  # not the loss, which the recursive strategy computes on single steps
    headline = "test/rmse"
    net: ForecastNet
    naive_mae: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        strategy: Strategy = STRATEGY,
        kind: Kind = KIND,
        hidden_dim: int = HIDDEN_DIM,
        num_layers: int = 1,
        dropout: float = 0.0,
        relative: bool = False,
        season: int | None = None,
        loss: TargetLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        if len(input_shape) != 2:
            raise ZooError(f"expected input_shape (T, C), steps and channels of the context, got {tuple(input_shape)}")
        num_steps, num_channels = input_shape
        if num_targets < 1 or num_targets % num_channels:
            raise ZooError(f"num_targets must be a multiple of the {num_channels} channel(s), got {num_targets}")
        if season is not None and not 1 <= season <= num_steps:
            raise ZooError(f"season must lie within the context of {num_steps} steps, got {season}")
        super().__init__(num_targets, lr, optim, loss)
        self.save_hyperparameters(logger=False)
        self.season, self.horizon = season, num_targets // num_channels
        self.net = ForecastNet(
            num_channels,
            self.horizon,
            strategy,
            kind,
            hidden_dim=hidden_dim,
            num_layers=num_layers,
            dropout=dropout,
            relative=relative,
        )
        self.register_buffer("naive_mae", torch.ones(num_targets))

    def step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        if self.net.strategy == "direct":
            loss, outputs = super().step(batch, progress)
        else:
            loss = self._teacher_forced(batch)
            # training compares single steps, metrics compare whole forecasts
            with torch.no_grad():
                outputs = {"preds": self(batch.x), "target": batch.y}
        forecasts = {"mase": outputs["preds"].detach(), "naive_mase": self._repeat(batch.x, 1)}
        if self.season is not None:
            forecasts["seasonal_mase"] = self._repeat(batch.x, self.season)
        scaled = {name: ((forecast - batch.y).abs() / self.naive_mae).mean() for name, forecast in forecasts.items()}
        return loss, {**outputs, **scaled}

    def _teacher_forced(self, batch: Any) -> Tensor:
        future = ((batch.y - self.target_mean) / self.target_std).unflatten(1, (self.horizon, -1))
        return self.loss(self.net(batch.x, future), torch.cat([batch.x[:, 1:], future], dim=1))

    def _repeat(self, x: Tensor, season: int) -> Tensor:
        """Repeat the last `season` steps of (B, T, C) over the horizon, in the original units: (B, H C)."""
        steps = x.shape[1] - season + torch.arange(self.horizon, device=x.device) % season
        return x[:, steps].flatten(1) * self.target_std + self.target_mean

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        low, num_steps = int(batch.lengths.min()), batch.x.shape[1]
        if low < num_steps:
            raise ZooError(f"a forecaster needs windows without padding: expected {num_steps} steps, found {low}")

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), Forecasts(folder / "pictures")]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = facts(self.trainer)
        if data.naive_mae is not None:
            self.naive_mae.copy_(data.naive_mae)
        for name, of_inputs, targets in (("mean", data.mean, self.target_mean), ("std", data.std, self.target_std)):
            of_targets = targets.view(self.horizon, -1)
            if of_inputs is not None and not torch.allclose(of_targets, of_targets.new_tensor(of_inputs)):
                raise ZooError(
                    f"inputs are normalised by the {name} {list(of_inputs)}, targets by {of_targets.tolist()}: "
                    "a forecaster needs the same for both, as in datamodules.Series"
                )
