"""The drawn windows are from the test split, in the units of the series."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer

from datamodules import Series
from zoo.rnn.forecaster import RNNForecaster
from zoo.tasks.regression.forecasts import Forecast, Forecasts, forecast_figure

Fit = Callable[..., Trainer]


class RecordedForecasts(Forecasts):
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.kept = sorted(self._windows, key=lambda window: window.position)
        super().on_test_end(trainer, pl_module)


@pytest.mark.parametrize("num_windows", [1, 6])
def test_windows_are_spread_evenly_over_the_test_split(fit: Fit, tmp_path: Path, num_windows: int) -> None:
    data = Series(context=16, horizon=4, batch_size=64, seed=0)
    model, drawn = RNNForecaster(data.input_shape, 4, hidden_dim=4), RecordedForecasts(tmp_path / "pictures", num_windows)
    trainer = fit(model, data, max_steps=3, limit_val_batches=0, callbacks=[drawn])
    trainer.test(model, datamodule=data, verbose=False)
    (arrays, rows) = data.splits["test"]
    assert len(drawn.kept) == num_windows
    assert [window.position for window in drawn.kept][:1] == [int(rows[0])]
    if num_windows > 1:
        assert drawn.kept[-1].position == int(rows[-1])
    for window in drawn.kept:
        x = arrays.x[window.position]
        np.testing.assert_allclose(window.context, x[:, 0], rtol=1e-4)
        np.testing.assert_allclose(window.truth, arrays.y[window.position], rtol=1e-6)
        with torch.no_grad():
            forecast = model((x[None] - data.mean[0]) / data.std[0])[0]
        np.testing.assert_allclose(window.forecast, forecast, rtol=1e-3)
    assert (tmp_path / "pictures" / "forecasts.png").stat().st_size > 1000


def test_truth_and_forecast_start_at_the_last_value_of_the_context() -> None:
    window = Forecast(7, np.array([1.0, 2, 3]), np.array([4.0, 5]), np.array([3.5, 3]))
    (axes,) = forecast_figure([window]).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {
        "context": [[-2, 1], [-1, 2], [0, 3]],
        "truth": [[0, 3], [1, 4], [2, 5]],
        "forecast": [[0, 3], [1, 3.5], [2, 3]],
    }
    assert len(forecast_figure([window] * 4).axes) == 6
