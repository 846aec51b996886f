"""Recurrent forecasters: the values that follow a series, all at once or one after the other.

Shapes: B batch, T steps of context, H steps of horizon, C channels, D hidden.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.recurrent import Kind, Recurrent
from zoo.tasks.regression.base import Regressor
from zoo.tasks.regression.forecasts import Forecasts
from zoo.training.optim import Optim
from zoo.training.system import Outputs, require

Strategy = Literal["direct", "recursive"]


class ForecastNet(nn.Module):
    """Recurrent layers and one linear layer: contexts (B, T, C) to what follows, (B, H C), on the same scale.

    Args:
        num_channels: C.
        horizon: H.
        strategy: "direct": the last state gives all H values. "recursive": every state gives the next value only, and a
            forecast feeds each of its values back as the next input.
        kind: of cell.
        hidden_dim: D.
        num_layers: of cells.
        dropout: between layers.
        relative: read a window relative to its first value, and forecast the change from its last one. Else a series with a
            trend ends in the test part on levels that no training window had.
    """

    def __init__(
        self,
        num_channels: int,
        horizon: int,
        strategy: Strategy = "direct",
        kind: Kind = "lstm",
        *,
        hidden_dim: int = 64,
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
        """The forecast (B, H C); or with the true `future` (B, H, C), what follows each true value but the last.

        The latter is teacher forcing, (B, T + H - 1, C), and for the recursive strategy only.
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
        """The forecast (B, H, C), each value but the last fed back."""
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
    """A recurrent network that forecasts the H values after a context, in the series' own units.

    Trained by squared error: "direct" on its H values, "recursive" on every next value of context and horizon, each from the
    true ones before it (teacher forcing: Williams & Zipser, 1989). In both, `preds` are forecasts from the context alone.

    Reported beside RMSE and R2, each over all steps and channels: `mase`, the mean absolute error in units of `naive_mae`,
    the error of saying "as now" one step ahead in the training part (Hyndman & Koehler, 2006); the same of two forecasts
    that need no learning, on the same windows: `naive_mase`, the context's last value repeated, and with a `season`
    `seasonal_mase`, the last season repeated. A model that does not beat them has learned nothing.

    Inputs have to come normalised by the same mean and deviation per channel as the targets are scaled by.

    Args:
        season: steps after which the series is about the same again, at most T.
    """

    monitor = ("val/rmse", "min")  # of forecasts: the recursive strategy's loss is of single steps
    headline = "test/rmse"
    net: ForecastNet
    naive_mae: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        strategy: Strategy = "direct",
        kind: Kind = "lstm",
        hidden_dim: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        relative: bool = False,
        season: int | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        if len(input_shape) != 2:
            raise ZooError(f"expected input_shape (T, C), steps and channels of a context, got {tuple(input_shape)}")
        num_steps, num_channels = input_shape
        if num_targets < 1 or num_targets % num_channels:
            raise ZooError(f"num_targets has to be a multiple of the {num_channels} channel(s), got {num_targets}")
        if season is not None and not 1 <= season <= num_steps:
            raise ZooError(f"season must lie within the context of {num_steps} steps, got {season}")
        super().__init__(num_targets, lr, optim)
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
            with torch.no_grad():  # trained by single steps, judged by the whole forecast
                outputs = {"preds": self(batch.x), "target": batch.y}
        forecasts = {"mase": outputs["preds"].detach(), "naive_mase": self._repeat(batch.x, 1)}
        if self.season is not None:
            forecasts["seasonal_mase"] = self._repeat(batch.x, self.season)
        scaled = {name: ((forecast - batch.y).abs() / self.naive_mae).mean() for name, forecast in forecasts.items()}
        return loss, {**outputs, **scaled}

    def _teacher_forced(self, batch: Any) -> Tensor:
        future = ((batch.y - self.target_mean) / self.target_std).unflatten(1, (self.horizon, -1))
        return F.mse_loss(self.net(batch.x, future), torch.cat([batch.x[:, 1:], future], dim=1))

    def _repeat(self, x: Tensor, season: int) -> Tensor:
        """The last `season` values of (B, T, C) over and over, in the series' units: (B, H C)."""
        steps = x.shape[1] - season + torch.arange(self.horizon, device=x.device) % season
        return x[:, steps].flatten(1) * self.target_std + self.target_mean

    def check_batch(self, batch: Any) -> None:
        super().check_batch(batch)
        low, num_steps = int(batch.lengths.min()), batch.x.shape[1]
        if low < num_steps:
            raise ZooError(f"a forecast starts where a window ends: expected windows of {num_steps} steps, found one of {low}")

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), Forecasts(folder / "pictures")]

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if (naive_mae := getattr(data, "naive_mae", None)) is not None:
            self.naive_mae.copy_(naive_mae)
        for name in ("mean", "std"):
            of_inputs, of_targets = getattr(data, name, None), getattr(self, f"target_{name}").unflatten(0, (self.horizon, -1))
            if of_inputs is not None and not torch.allclose(of_targets, of_targets.new_tensor(of_inputs)):
                raise ZooError(
                    f"inputs are normalised by the {name} {list(of_inputs)}, targets by {of_targets.tolist()}: "
                    "a forecaster needs the same for both, as datamodules.Series has them"
                )
