"""Perceptron (Rosenblatt, 1958): one layer of weighted sums.

Shapes: B batch, D input values, K classes.
"""

import math
from typing import Literal, get_args

from torch import Tensor, nn

from zoo.errors import check_choice
from zoo.nn.checks import check_shape
from zoo.tasks.classification.base import Classifier
from zoo.training.optim import Optim
from zoo.training.system import require

Rule = Literal["cross_entropy", "perceptron"]


class PerceptronNet(nn.Module):
    """K weighted sums of all inputs, W x + b, starting from 0: (B, ...) to logits (B, K)."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.linear = nn.Linear(math.prod(input_shape), num_classes)
        nn.init.zeros_(self.linear.weight)  # a convex problem needs no symmetry broken
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.linear(x.flatten(1))


def perceptron_loss(logits: Tensor, y: Tensor) -> Tensor:
    """How far the winner leads the right class, mean over the batch: logits (B, K), classes (B,) to 0-d.

    Its gradient is Rosenblatt's rule for K classes (Crammer & Singer, 2003): on a mistake the input is added to the right
    class's weights and taken from the winner's; a right answer changes nothing.
    """
    return (logits.max(dim=1).values - logits.gather(1, y[:, None])[:, 0]).mean()


class Perceptron(Classifier):
    """Linear classifier, trained by cross-entropy (logistic regression) or by Rosenblatt's own rule.

    With `rule="perceptron"`, SGD and lr 1 it is the algorithm of 1958, which stops changing once the classes are separated.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        rule: Rule = "cross_entropy",
        lr: float = 1e-2,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        check_choice("rule", rule, get_args(Rule))
        super().__init__(num_classes, 0.0, lr, optim)
        self.save_hyperparameters(logger=False)
        self.rule = rule
        self.net = PerceptronNet(input_shape, num_classes)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return super().loss(logits, y) if self.rule == "cross_entropy" else perceptron_loss(logits, y)
