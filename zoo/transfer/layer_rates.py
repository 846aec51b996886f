"""Report of transfer learning: the learning rate of each layer group, and which groups train, by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.pretrained.layer_groups import LayerGroup
from zoo.training.files import write_csv
from zoo.training.reporting import log_picture, wandb_loggers, writes


class LayerRates(Callback):
    """Writes `folder`/layer_rates.csv and draws layer_rates.png when training ends, and sends rates and picture to W&B.

    A row of the table is a layer group in an epoch, with its learning rate at the first step; 0 means that it is frozen. Epochs
    are counted from 1, as in the lines of progress. If only one group trained, there is no picture: its learning rate is in the
    table.

    Args:
        folder: folder of the files.
        groups: the layer groups of the system's `net`, from the input to the output.
    """

    def __init__(self, folder: Path, groups: Sequence[LayerGroup]) -> None:
        self.folder, self.groups = folder, groups
        self._rates: dict[int, list[float]] = {}  # by epoch, in the order of `groups`

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch in self._rates:
            return
        by_parameter = {id(p): group["lr"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
        parameters = dict(pl_module.get_submodule("net").named_parameters())
        firsts = [parameters[group.parameters[0]] for group in self.groups]
        rates = [float(by_parameter[id(first)]) if first.requires_grad else 0.0 for first in firsts]
        self._rates[trainer.current_epoch] = rates
        for logger in wandb_loggers(trainer):
            named = zip(self.groups, rates, strict=True)
            logger.log_metrics({f"lr/{group.name}": rate for group, rate in named}, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not writes(trainer) or not self._rates:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [group.name for group in self.groups]
        rows = [[epoch + 1, *row] for epoch, rates in self._rates.items() for row in zip(names, rates, strict=True)]
        write_csv(self.folder / "layer_rates.csv", ["epoch", "layers", "lr"], rows)
        by_group = np.array(list(self._rates.values())).T
        if (by_group > 0).any(axis=1).sum() > 1:
            path = self.folder / "layer_rates.png"
            rates_figure(by_group, names, first_epoch=min(self._rates) + 1).savefig(path, dpi=120)
            log_picture(trainer, "train/layer_rates", path)

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self._rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rates = dict(state_dict["rates"])


def rates_figure(rates: np.ndarray, names: Sequence[str], first_epoch: int = 1) -> Figure:
    """Draw the learning rates of layer groups (G, E) by epoch, the group nearest to the input at the bottom.

    The shade is the logarithm of the learning rate. Frozen groups stay white.
    """
    height = max(2.0, 0.35 * len(names) + 1.2)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    shown = np.ma.masked_equal(rates, 0.0)
    scale = LogNorm(vmin=shown.min(), vmax=max(shown.max(), 1.01 * shown.min()))
    num_groups, num_epochs = rates.shape
    image = axes.imshow(
        shown,
        norm=scale,
        cmap="viridis",
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(first_epoch - 0.5, first_epoch + num_epochs - 0.5, -0.5, num_groups - 0.5),
    )
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    figure.colorbar(image, ax=axes, label="learning rate; white: frozen")
    return figure
