"""MLP trained by backpropagation that is written out by hand (Rumelhart, Hinton & Williams, 1986).

Shapes: B batch, K classes.
"""

from collections.abc import Sequence
from typing import get_args

from torch import Tensor

from zoo.errors import check_choice
from zoo.mlp.mlp import HIDDEN_DIMS, MLPNet
from zoo.nn.backprop import Backprop, Hidden
from zoo.nn.checks import check_shape
from zoo.nn.init import Init
from zoo.tasks.classification.base import Classifier
from zoo.training.optim import Optim
from zoo.training.system import Batch, Outputs, require


class BackpropMLP(Classifier):
    """The same network, loss and gradients as `MLPClassifier`, without autograd: `zoo/nn/backprop.py` computes the gradients.

    Args:
        activation: function after each hidden layer, one of those whose derivative is written out.
    """

    net: MLPNet

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        hidden_dims: Sequence[int] = HIDDEN_DIMS,
        activation: Hidden = "relu",
        init: Init = "he",
        lr: float = 1e-3,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        check_choice("activation", activation, get_args(Hidden))
        super().__init__(num_classes, label_smoothing=0.0, lr=lr, optim=optim)
        self.save_hyperparameters(logger=False)
        self.activation = activation
        self.net = MLPNet(input_shape, num_classes, hidden_dims, activation, init=init)

    def step(self, batch: Batch, progress: Tensor) -> tuple[Tensor, Outputs]:
        check_shape(batch.x, self.net.input_shape)
        # The network has no parameters besides the weights and biases of its layers, and lists them in their order.
        parameters = self.net.parameters()
        loss, logits = Backprop.apply(batch.x.flatten(1), batch.y, self.activation, "cross_entropy", *parameters)
        return loss, self.outputs(logits, batch.y)
