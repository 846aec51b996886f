"""Record what the first training steps compute, which shows whether a recipe's results have changed without training it."""

import json
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from zoo.training.files import write_text
from zoo.training.reporting import writes


class Behaviour(Callback):
    """Writes behaviour.json into the run directory: training losses, how far the weights moved, and the validation scores.

    The distance of the weights from their start shows changes that the losses hide while the learning rate warms up.
    `zoo reproduce` runs a few small steps with this report and stores the values with each score.
    """

    def __init__(self) -> None:
        self._start: list[Tensor] = []
        self._losses: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = [parameter.detach().clone() for parameter in pl_module.parameters()]
        self._losses = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert isinstance(outputs, dict)  # training_step returns the loss
        self._losses.append(outputs["loss"].item())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        moved = zip(pl_module.parameters(), self._start, strict=True)
        squares = torch.stack([(after.detach() - before).double().square().sum() for after, before in moved])
        behaviour = {"train/loss": self._losses, "distance": [squares.sum().sqrt().item()]}
        for name, value in sorted(trainer.callback_metrics.items()):
            if name.startswith("val/"):
                behaviour[name] = [value.item()]
        if writes(trainer):
            digits = {name: [float(f"{value:.6g}") for value in values] for name, values in behaviour.items()}
            write_text(Path(trainer.default_root_dir) / "behaviour.json", json.dumps(digits) + "\n")
