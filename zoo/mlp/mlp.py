"""Multi-layer perceptron (Rumelhart, Hinton & Williams, 1986) for classification, binary classification and regression.

Shapes: B batch, K classes, T targets. Inputs are flattened, so tables (B, F) and images (B, C, H, W) both work.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from lightning import Callback
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.metrics.tasks import binary_classification
from zoo.nn.activations import Activation
from zoo.nn.activations import activation as nonlinearity
from zoo.nn.checks import check_labels, check_shape, dropout_rates
from zoo.nn.init import Init, initialise
from zoo.nn.losses import BinaryLoss, ClassLoss, TargetLoss, binary_cross_entropy, binary_focal, check_loss, prior_bias
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
        norm: normalisation before each activation; see `feature_norm`.
        norm_groups: number of groups of norm "group", which must divide each width. None: 8.
        dropout: probability after each activation, for all hidden layers or one for each.
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
        norm_groups: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        init: Init = INIT,
    ) -> None:
        super().__init__()
        if not all(dim >= 1 for dim in hidden_dims):
            raise ZooError(f"hidden_dims must be positive, got {list(hidden_dims)}")
        rates = dropout_rates(dropout, len(hidden_dims))
        self.input_shape = tuple(input_shape)
        widths = [math.prod(input_shape), *hidden_dims]
        layers: list[nn.Module] = []
        for (fan_in, fan_out), rate in zip(pairwise(widths), rates, strict=True):
            layers += [
                nn.Linear(fan_in, fan_out),
                feature_norm(norm, fan_out, norm_groups),
                nonlinearity(activation),
                nn.Dropout(rate),
            ]
        self.hidden = nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
        self.output = nn.Linear(widths[-1], output_dim)
        initialise(self.hidden, init, activation)
        initialise(self.output, init, "identity")

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.output(self.hidden(x.flatten(1)))


class MLPClassifier(Classifier):
    """MLP for K classes. The default on 28x28 images is 784-256-256-10."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        norm_groups: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        init: Init = INIT,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        super().__init__(num_classes, label_smoothing, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.net = MLPNet(
            input_shape, num_classes, hidden_dims, activation, norm=norm, norm_groups=norm_groups, dropout=dropout, init=init
        )


class MLPBinaryClassifier(System):
    """MLP with one logit for two classes. It predicts the probability of class 1.

    Args:
        loss: training loss. Validation and test always log the binary cross-entropy, so that runs can be compared.
    """

    monitor = ("val/loss", "min")
    headline = "test/acc"

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule; must be 2
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        norm_groups: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        init: Init = INIT,
        loss: BinaryLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape = require("input_shape", input_shape)
        if require("num_classes", num_classes) != 2:
            raise ZooError(f"a binary classifier needs 2 classes, the data has {num_classes}: use zoo.MLPClassifier")
        super().__init__(lr, optim, binary_classification())
        self.save_hyperparameters(logger=False)
        self.training_loss = check_loss(loss, BinaryLoss)
        self.net = MLPNet(
            input_shape, 1, hidden_dims, activation, norm=norm, norm_groups=norm_groups, dropout=dropout, init=init
        )
        if "prior" in self.training_loss:
            nn.init.constant_(self.net.output.bias, prior_bias(self.training_loss["prior"]))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the probability of class 1: (B, ...) to (B,)."""
        return torch.sigmoid(self.net(*inputs)[:, 0])

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        logits = self.net(batch.x)[:, 0]
        return self.loss(logits, batch.y), {"preds": torch.sigmoid(logits), "target": batch.y}

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Compute the mean loss (0-d) of logits (B,) and classes (B,). In evaluation it is the binary cross-entropy."""
        if self.training and self.training_loss["name"] == "focal":
            return binary_focal(logits, y, self.training_loss["gamma"], self.training_loss.get("alpha"))
        return binary_cross_entropy(logits, y)

    def check_batch(self, batch: Batch) -> None:
        check_labels(batch.y, num_classes=2)

    def reports(self, folder: Path) -> list[Callback]:
        return [*super().reports(folder), *class_reports(folder)]


class MLPRegressor(Regressor):
    """MLP for T numbers, trained on standardised targets. It predicts in the original units."""

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_targets: int | None = None,  # linked from the datamodule
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Activation = ACTIVATION,
        norm: Norm = "none",
        norm_groups: int | None = None,
        dropout: float | Sequence[float] = 0.0,
        init: Init = INIT,
        loss: TargetLoss | None = None,
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_targets = require("input_shape", input_shape), require("num_targets", num_targets)
        super().__init__(num_targets, lr, optim, loss)
        self.save_hyperparameters(logger=False)
        self.net = MLPNet(
            input_shape, num_targets, hidden_dims, activation, norm=norm, norm_groups=norm_groups, dropout=dropout, init=init
        )
