"""Multi-layer perceptron (Rumelhart, Hinton & Williams, 1986) for classification, binary classification and regression.

Shapes: B batch, K classes, T targets. Inputs are flattened, so tables (B, F) and images (B, C, H, W) both work.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.metrics.tasks import binary_classification
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity
from zoo.nn.checks import check_labels, check_shape
from zoo.nn.init import Init, initialise
from zoo.nn.norms import Norm, feature_norm
from zoo.tasks.classification.base import Classifier, ClassWeights, class_reports
from zoo.tasks.regression.base import Regressor
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, System, require

# defaults of the network and of its three systems
HIDDEN_DIMS = (256, 256)
ACTIVATION: Activation = "relu"
INIT: Init = "he"


class MLPNet(nn.Module):
    """Hidden layers (linear, norm, activation, dropout) and a linear output layer: (B, ...) to (B, output_dim).

    Args:
        input_shape: shape of one input, without the batch.
        output_dim: number of outputs.
        hidden_dims: width of each hidden layer. An empty list gives a linear model.
        activation: function after each hidden layer.
        norm: normalisation before each activation.
        dropout: probability after each activation.
        init: initialisation scheme of the weights.

    Raises:
        ZooError: if an argument is out of range.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        output_dim: int,
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        dropout: float = 0.0,
        init: Init = INIT,
    ) -> None:
        super().__init__()
        if not all(dim >= 1 for dim in hidden_dims):
            raise ZooError(f"hidden_dims must be positive, got {list(hidden_dims)}")
        if not 0 <= dropout < 1:
            raise ZooError(f"dropout must lie in [0, 1), got {dropout}")
        self.input_shape = tuple(input_shape)
        widths = [math.prod(input_shape), *hidden_dims]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [
                nn.Linear(fan_in, fan_out),
                feature_norm(norm, fan_out),
                nonlinearity(activation),
                nn.Dropout(dropout),
            ]
        self.hidden = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        self.output = nn.Linear(widths[-1], output_dim)
        initialise(self.hidden, init, activation)
        initialise(self.output, init, "identity")

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.output(self.hidden(x.flatten(1)))


class MLPClassifier(Classifier):
    """MLP for K classes, trained with cross-entropy. The default on 28x28 images is 784-256-256-10."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        dropout: float = 0.0,
        init: Init = INIT,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights)
        self.save_hyperparameters(logger=False)
        self.net = MLPNet(input_shape, num_classes, hidden_dims, activation, norm=norm, dropout=dropout, init=init)


class MLPBinaryClassifier(System):
    """MLP with one logit, trained with binary cross-entropy. It predicts the probability of class 1."""

    monitor = ("val/loss", "min")
    headline = "test/acc"

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule; must be 2
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        dropout: float = 0.0,
        init: Init = INIT,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape = require("input_shape", input_shape)
        if require("num_classes", num_classes) != 2:
            raise ZooError(f"a binary classifier needs 2 classes, the data has {num_classes}: use zoo.MLPClassifier")
        super().__init__(lr, optim, binary_classification())
        self.save_hyperparameters(logger=False)
        self.net = MLPNet(input_shape, 1, hidden_dims, activation, norm=norm, dropout=dropout, init=init)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability of class 1: (B, ...) to (B,)."""
        return torch.sigmoid(self.net(*inputs)[:, 0])

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(batch.x)[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits, batch.y.float())
        return loss, {"preds": torch.sigmoid(logits), "target": batch.y}

    def check_batch(self, batch: Batch) -> None:
        check_labels(batch.y, num_classes=2)

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), *class_reports(folder)]


class MLPRegressor(Regressor):
    """MLP for T numbers, trained with squared error on standardised targets. It predicts in the original units."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        dropout: float = 0.0,
        init: Init = INIT,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        super().__init__(num_targets, lr, optim)
        self.save_hyperparameters(logger=False)
        self.net = MLPNet(input_shape, num_targets, hidden_dims, activation, norm=norm, dropout=dropout, init=init)
