"""Picture of forecasts and true values for a few test windows."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from zoo.training.reporting import facts, gathered, log_picture, writes


class Forecast(NamedTuple):
    """The first channel of a window, in the units of the series: T steps of context and H steps of forecast."""

    position: int
    context: np.ndarray  # (T,)
    truth: np.ndarray  # (H,)
    forecast: np.ndarray  # (H,)


class Forecasts(Callback):
    """Draws `num_windows` evenly spaced test windows into `folder`/forecasts.png, and sends them to W&B.

    For forecasters of data that states its `horizon`. Only the first channel is shown.

    Args:
        folder: folder of the picture.
        num_windows: number of windows.
    """

    def __init__(self, folder: Path, num_windows: int = 6) -> None:
        self.folder, self.num_windows = folder, num_windows
        self._windows: list[Forecast] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._windows = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        data = facts(trainer)
        if data.horizon is None or data.splits is None or data.mean is None or data.std is None:
            return
        rows = data.splits["test"].rows
        wanted = rows[torch.linspace(0, len(rows) - 1, min(self.num_windows, len(rows))).long()]
        for row in torch.isin(batch.position.cpu(), wanted).nonzero()[:, 0].tolist():
            context = batch.x[row, :, 0].float().cpu() * data.std[0] + data.mean[0]
            truth, forecast = (values[row].float().cpu().view(data.horizon, -1)[:, 0] for values in (batch.y, outputs["preds"]))
            self._windows.append(Forecast(int(batch.position[row]), context.numpy(), truth.numpy(), forecast.numpy()))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        windows, self._windows = sorted(gathered(trainer, self._windows), key=lambda window: window.position), []
        if not windows or not writes(trainer):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "forecasts.png"
        forecast_figure(windows).savefig(path, dpi=120)
        log_picture(trainer, "test/forecasts", path)


def forecast_figure(windows: list[Forecast]) -> Figure:
    """Draw context, true values and forecast of each window, three to a row. Step 0 is the last step of the context."""
    columns = min(3, len(windows))
    rows = -(-len(windows) // columns)
    figure = Figure(figsize=(4 * columns, 2.2 * rows), layout="constrained")
    for axes, window in zip(figure.subplots(rows, columns, squeeze=False).flat, windows, strict=False):
        past = np.arange(1 - len(window.context), 1)
        future = np.arange(len(window.truth) + 1)
        axes.plot(past, window.context, color="grey", linewidth=1, label="context")
        for values, color, label in ((window.truth, "black", "truth"), (window.forecast, "crimson", "forecast")):
            axes.plot(future, [window.context[-1], *values], color=color, linewidth=1.2, label=label)
        axes.set_title(f"window {window.position}", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(windows) :]:
        axes.axis("off")
    figure.axes[0].legend(fontsize=7)
    return figure
