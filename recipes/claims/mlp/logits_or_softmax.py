"""What if a cross-entropy that expects logits gets probabilities? (The key interview detail of the reference).

python recipes/claims/mlp/logits_or_softmax.py [--full]        seconds on one CPU core; --full three minutes

MLPs are trained on Digits by SGD, from equal weights and with the same batches, at the better of the same learning rates (by
the training accuracy). The arms differ in what `F.cross_entropy`, which applies log-softmax itself, is given:

- logits
- softmax outputs, so that softmax is applied twice
- log-softmax outputs, the control: log-softmax changes nothing when it is applied again, so the cause is removed

A fourth arm is the formula of the reference's table, -sum(y log(y_hat)), with y_hat = softmax(logits) and its logarithm.

Two things are measured without training as well. For one sample with a logit of +-10,000 for its class and 0 for nine others:
the loss, and the size of its gradient. And the smallest loss that an arm can reach: with softmax twice it is log(e + 9) - 1 =
1.46, even if all predictions are right and certain.

Criterion, stated before the full measurement. The claim holds if the mean test accuracy on softmax outputs is at least 0.02
below that on logits, and the gradient of a certain and wrong prediction is below 1e-6 on softmax outputs and above 0.1 on
logits. It holds in part if only one of both is true. If the accuracy on logits is below 0.9, the verdict is "cannot tell".
"""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from recipes.claims.mlp.linear_collapse import Data, accuracy, digits, fit
from zoo.cli.claims import Claim, Row, judge, main
from zoo.mlp.mlp import MLPNet

CLAIM = "Cross-entropy needs logits: on softmax outputs a network learns less, and nothing from certain mistakes."
WORSE = 0.02  # accuracy
TRAINED = 0.9  # accuracy on logits
FAR = 1e4  # size of the extreme logits
Loss = Callable[[Tensor, Tensor], Tensor]


class Sizes(NamedTuple):
    """Sizes of the measurement."""

    num_seeds: int
    lrs: tuple[float, ...]
    num_updates: int
    num_points: int  # at which the accuracy is measured during training


class Found(NamedTuple):
    """A trained network."""

    curve: list[float]  # test accuracy after each part of the training
    train_accuracy: float
    loss: float  # of the last updates


FAST = Sizes(num_seeds=1, lrs=(0.3,), num_updates=300, num_points=6)
FULL = FAST._replace(num_seeds=3, lrs=(0.03, 0.1, 0.3, 1.0), num_updates=1000, num_points=20)
SMALLEST = FAST._replace(num_seeds=2, num_updates=4, num_points=2)
CONTROLS = {"given": ["log-softmax outputs"]}
LOSSES: dict[str, Loss] = {
    "logits": F.cross_entropy,
    "softmax outputs": lambda logits, y: F.cross_entropy(logits.softmax(1), y),
    "log-softmax outputs": lambda logits, y: F.cross_entropy(logits.log_softmax(1), y),
    "formula, log(softmax)": lambda logits, y: F.nll_loss(logits.softmax(1).log(), y),
}


def train(loss: Loss, lr: float, seed: int, data: Data, sizes: Sizes) -> Found:
    """Train a network, and measure its test accuracy several times on the way."""
    torch.manual_seed(seed)
    net = MLPNet((data.x.shape[1],), 10, [64, 64])
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    curve, losses = [], [math.inf]
    for _ in range(sizes.num_points):
        losses = fit(net, data, optimizer, sizes.num_updates // sizes.num_points, loss)
        curve.append(accuracy(net, data.x_test, data.y_test))
    return Found(curve, accuracy(net, data.x, data.y), sum(losses) / len(losses))


def at_extremes(loss: Loss, logit: float) -> tuple[float, float]:
    """Compute the loss of one sample and the largest element of its gradient; the logits of other classes are 0."""
    logits = torch.zeros(1, 10)
    logits[0, 0] = logit
    value = loss(logits.requires_grad_(), torch.zeros(1, dtype=torch.long))
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item(), gradient.abs().max().item()


def measure(full: bool) -> Claim:
    """Train all arms, and judge them by the criterion above."""
    sizes = FULL if full else FAST
    data, curves, rows = digits(), {}, {}
    for name, loss in LOSSES.items():
        found = {lr: [train(loss, lr, seed, data, sizes) for seed in range(sizes.num_seeds)] for lr in sizes.lrs}
        lr = max(found, key=lambda lr: sum(each.train_accuracy for each in found[lr]))
        curves[name] = torch.tensor([each.curve for each in found[lr]])
        rows[name] = _row(name, lr, found[lr])
    logits, outputs = rows["logits"], rows["softmax outputs"]
    worse = outputs["accuracy"] <= logits["accuracy"] - WORSE
    silent = float(outputs["gradient if wrong"]) < 1e-6 and float(logits["gradient if wrong"]) > 0.1
    formula = rows["formula, log(softmax)"]
    measured = (
        f"test accuracy {logits['accuracy']:.3f} on logits, {outputs['accuracy']:.3f} on softmax outputs (after "
        f"1/{sizes.num_points} of the updates {logits['early']:.3f} and {outputs['early']:.3f}), "
        f"with a last loss of {logits['last loss']:.3f} and {outputs['last loss']:.3f}. "
        f"A certain mistake has a gradient of {logits['gradient if wrong']} and {outputs['gradient if wrong']}; "
        f"by the formula, a loss of {formula['loss if wrong']} and a gradient of {formula['gradient if wrong']}"
    )
    verdict = judge(worse and silent, in_part=worse or silent, trained=logits["accuracy"] >= TRAINED)
    return Claim(CLAIM, measured, verdict, list(range(sizes.num_seeds)), list(rows.values()), _draw(curves, sizes))


def _row(name: str, lr: float, found: list[Found]) -> Row:
    """Average over seeds. What happens at extreme logits is text, because it may be inf or NaN."""
    right, wrong = at_extremes(LOSSES[name], FAR), at_extremes(LOSSES[name], -FAR)
    scores = torch.tensor([each.curve[-1] for each in found])
    return {
        "given": name,
        "lr": lr,
        "early": sum(each.curve[0] for each in found) / len(found),
        "accuracy": scores.mean().item(),
        "sd": scores.std().item() if len(scores) > 1 else 0.0,
        "last loss": sum(each.loss for each in found) / len(found),
        "loss if right": f"{right[0]:.4g}",
        "loss if wrong": f"{wrong[0]:.5g}",
        "gradient if wrong": f"{wrong[1]:.3g}",
    }


def _draw(curves: dict[str, Tensor], sizes: Sizes) -> Figure:
    """Draw the test accuracy during training, and the gradient by the logit of the right class."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    scores, gradients = figure.subplots(1, 2)
    updates = [(number + 1) * (sizes.num_updates // sizes.num_points) for number in range(sizes.num_points)]
    logits = torch.linspace(-30, 30, 241).tolist()
    for (name, curve), style in zip(curves.items(), ("-", "-", "--", ":"), strict=True):
        (line,) = scores.plot(updates, curve.mean(0), style, linewidth=2, label=name)
        scores.fill_between(updates, curve.amin(0), curve.amax(0), color=line.get_color(), alpha=0.2)
        gradients.plot(logits, [at_extremes(LOSSES[name], logit)[1] for logit in logits], style, linewidth=2, label=name)
    scores.set_xlabel("update")
    scores.set_ylabel("test accuracy (range over seeds)")
    scores.legend(fontsize=9)
    gradients.set_xlabel("logit of the right class, others 0")
    gradients.set_ylabel("largest element of the gradient")
    return figure


if __name__ == "__main__":
    sys.exit(main(__file__))
