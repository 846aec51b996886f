"""Perceptron (Rosenblatt, 1958): a single linear layer.

Shapes: B batch, K classes.
"""

import math
from typing import Any, Literal, get_args

from torch import Tensor, nn

from zoo.errors import ZooError, check_choice
from zoo.nn.checks import check_labels, check_shape
from zoo.nn.losses import ClassLoss
from zoo.tasks.classification.base import Classifier, ClassWeights
from zoo.training.optim import Optim
from zoo.training.system import require

Rule = Literal["cross_entropy", "perceptron"]


class PerceptronNet(nn.Module):
    """Linear layer W x + b on flattened inputs, with all weights 0 at first: (B, ...) to logits (B, K)."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.linear = nn.Linear(math.prod(input_shape), num_classes)
        # the problem is convex, so weights may start at 0
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, self.input_shape)
        return self.linear(x.flatten(1))


def perceptron_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Compute the mean margin by which the highest logit exceeds the true class's: logits (B, K), classes (B,) to 0-d.

    Its gradient step is Rosenblatt's rule for K classes (Crammer & Singer, 2003). After a mistake the input is added to the
    weights of the true class and subtracted from those of the predicted class. A correct prediction changes nothing.
    """
    return (logits.max(dim=1).values - logits.gather(1, y[:, None])[:, 0]).mean()


class Perceptron(Classifier):
    """Linear classifier, trained with a loss on its logits (by default logistic regression) or with Rosenblatt's rule.

    Args:
        rule: "cross_entropy" trains with `loss`. "perceptron" with plain SGD and lr 1 is the algorithm of 1958, which stops
            changing the weights once all classes are separated.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,  # linked from the datamodule
        num_classes: int | None = None,  # linked from the datamodule
        rule: Rule = "cross_entropy",
        class_weights: ClassWeights = None,
        loss: ClassLoss | None = None,
        lr: float = 1e-2,
        optim: Optim | None = None,
    ) -> None:
        input_shape, num_classes = require("input_shape", input_shape), require("num_classes", num_classes)
        check_choice("rule", rule, get_args(Rule))
        if rule == "perceptron" and class_weights is not None:
            raise ZooError("the perceptron rule has no class weights: leave out class_weights, or set rule to cross_entropy")
        if rule == "perceptron" and loss is not None:
            raise ZooError("the perceptron rule is a loss of its own: leave out loss, or set rule to cross_entropy")
        super().__init__(num_classes, 0.0, lr, optim, class_weights, loss)
        self.save_hyperparameters(logger=False)
        self.rule = rule
        self.net = PerceptronNet(input_shape, num_classes)

    def check_batch(self, batch: Any) -> None:
        if self.rule == "perceptron":
            check_labels(batch.y, self.num_classes)
        else:
            super().check_batch(batch)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return super().loss(logits, y) if self.rule == "cross_entropy" else perceptron_loss(logits, y)
