"""Base class of regressors: losses on standardised targets, predictions in the units of the targets."""

from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.metrics.tasks import regression
from zoo.nn.losses import TargetLoss, check_loss, huber, mae, mse
from zoo.training.optim import Optim
from zoo.training.reporting import facts
from zoo.training.system import Outputs, System


class Regressor(System):
    """Base class of regressors. A subclass builds `net`, which maps inputs (B, ...) to standardised predictions (B, T).

    The mean and standard deviation of the targets, (T,) each, are read from the datamodule when fitting starts and are saved
    with the weights. Losses are in standard deviations, or in their squares.

    Args:
        num_targets: T.
        loss: training loss. Validation and test always log the mean squared error, so that runs can be compared.

    Raises:
        ZooError: if `loss` is unknown or out of range.
    """

    headline = "test/r2"
    target_mean: Tensor
    target_std: Tensor

    def __init__(self, num_targets: int, lr: float, optim: Optim | None, loss: TargetLoss | None = None) -> None:
        super().__init__(lr, optim, regression())
        self.training_loss = check_loss(loss, TargetLoss)
        self.register_buffer("target_mean", torch.zeros(num_targets))
        self.register_buffer("target_std", torch.ones(num_targets))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predict in the units of the targets: (B, T)."""
        return self.net(*inputs) * self.target_std + self.target_mean

    def step(self, batch: Any, progress: Tensor) -> tuple[Tensor, Outputs]:
        output = self.net(*self.inputs(batch))
        loss = self.loss(output, (batch.y - self.target_mean) / self.target_std)
        return loss, {"preds": output * self.target_std + self.target_mean, "target": batch.y}

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss (0-d) of standardised predictions and targets. In evaluation it is the squared error."""
        if not self.training:
            return mse(output, target)
        match self.training_loss["name"]:
            case "mae":
                return mae(output, target)
            case "huber":
                return huber(output, target, self.training_loss["delta"])
            case _:
                return mse(output, target)

    def check_batch(self, batch: Any) -> None:
        if batch.y.shape != (len(batch.x), len(self.target_mean)):  # (B,) would broadcast to (B, B)
            raise ZooError(f"targets must be of shape (B, {len(self.target_mean)}), got {tuple(batch.y.shape)}")

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = facts(self.trainer)
        if data.target_mean is not None:
            self.target_mean.copy_(data.target_mean)
        if data.target_std is not None:
            self.target_std.copy_(data.target_std)
