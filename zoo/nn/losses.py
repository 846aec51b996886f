"""Losses of classifiers, regressors and embeddings as pure functions, and the settings that choose one by name.

Shapes: B batch, K classes, F features. Classifiers' losses take logits, because the logarithm of a probability that was rounded
to 0 is infinite. `reduction` "none" returns one value per sample (B,), or per element for `mse`, `mae` and `huber`; "mean" and
"sum" return 0-d tensors.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args, get_type_hints

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import ZooError, check_choice
from zoo.nn.embedding_losses import contrastive_loss, triplet_loss

Reduction = Literal["none", "mean", "sum"]

GAMMA = 2.0  # Lin et al., 2017, section 5.1
DELTA = 1.0


class ClassLoss(TypedDict, total=False):
    """Training loss of a classifier of K classes. Comments end with the default."""

    name: Literal["cross_entropy", "focal"]  # cross_entropy
    gamma: float  # focal: exponent that reduces the loss of samples which are classified well; 2


class BinaryLoss(TypedDict, total=False):
    """Training loss of a classifier with one logit. Comments end with the default."""

    name: Literal["bce", "focal"]  # binary cross-entropy: bce
    gamma: float  # focal: exponent that reduces the loss of samples which are classified well; 2
    alpha: float  # focal: weight of class 1, in (0, 1); class 0 has 1 - alpha; both have weight 1 if it is left out
    prior: float  # focal: probability of class 1 that the network predicts at the start, by its last bias; 0.5


class TargetLoss(TypedDict, total=False):
    """Training loss of a regressor, in standard deviations of the targets. Comments end with the default."""

    name: Literal["mse", "mae", "huber"]  # mse
    delta: float  # huber: error from which the loss grows linearly; 1


_SETTINGS = {"focal": ("gamma", "alpha", "prior"), "huber": ("delta",)}  # the settings that a loss reads


def check_loss(loss: Mapping[str, Any] | None, kind: type) -> dict[str, Any]:
    """Check the settings of a loss and return them with their defaults. Systems call this in their constructors.

    Args:
        loss: a `ClassLoss`, a `BinaryLoss` or a `TargetLoss`; None for the defaults.
        kind: which of these TypedDicts.

    Raises:
        ZooError: if a setting is unknown, out of range, or not read by the loss.
    """
    loss, fields = dict(loss or {}), get_type_hints(kind)
    names = get_args(fields["name"])  # the first is the default
    if unknown := set(loss) - set(fields):
        raise ZooError(f"loss has no {sorted(unknown)[0]!r}: choose from {', '.join(fields)}")
    name = loss.setdefault("name", names[0])
    check_choice("loss", name, names)
    for setting in loss.keys() - {"name", *_SETTINGS.get(name, ())}:
        fitting = next(other for other, read in _SETTINGS.items() if setting in read)
        raise ZooError(f"loss.{setting} has no effect with loss {name!r}, only with {fitting}: leave it out")
    if name == "focal" and not 0 <= loss.setdefault("gamma", GAMMA) < math.inf:
        raise ZooError(f"loss.gamma must be 0 or more, got {loss['gamma']}")
    if name == "huber" and not 0 < loss.setdefault("delta", DELTA) < math.inf:
        raise ZooError(f"loss.delta must be positive, got {loss['delta']}: for the absolute error, choose loss mae")
    for setting in ("alpha", "prior"):
        if setting in loss and not 0 < loss[setting] < 1:
            raise ZooError(f"loss.{setting} must lie between 0 and 1, got {loss[setting]}")
    return loss


def cross_entropy(
    logits: Tensor,
    y: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compute the cross-entropy of logits (B, K) and classes (B,), or probabilities of classes (B, K).

    The mean divides the weighted sum by B. torch divides it by the sum of the weights if targets are classes, so that soft
    targets, or a batch shared by processes, would have another loss.

    Args:
        logits: (B, K).
        y: targets.
        class_weights: (K,). None: 1 for all classes.
        label_smoothing: probability spread evenly over all classes, in [0, 1) (Szegedy et al., 2016, arXiv:1512.00567).
        reduction: see the top of this file.
    """
    logits = full(logits)
    y = y.to(logits.dtype) if y.is_floating_point() else y
    if class_weights is None:
        return F.cross_entropy(logits, y, label_smoothing=label_smoothing, reduction=reduction)
    weights, per_sample = class_weights.to(logits.dtype), reduction == "none"
    loss = F.cross_entropy(logits, y, weights, label_smoothing=label_smoothing, reduction="none" if per_sample else "sum")
    return loss / len(y) if reduction == "mean" else loss


def focal(
    logits: Tensor,
    y: Tensor,
    gamma: float = GAMMA,
    class_weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compute the focal loss -alpha_t (1 - p_t)^gamma log p_t of logits (B, K) and classes (B,).

    p_t is the probability of the true class and alpha_t its weight (Lin et al., 2017, arXiv:1708.02002, equation 5). With gamma
    0 it is the cross-entropy. 1 - p_t is computed from the other logits, because p_t rounds to 1 for sure predictions.
    """
    logits = full(logits)
    total, own = logits.logsumexp(1), y[:, None]
    log_p = logits.gather(1, own)[:, 0] - total
    log_rest = logits.scatter(1, own, -math.inf).logsumexp(1) - total  # log(1 - p_t)
    loss = -torch.exp(gamma * log_rest) * log_p
    return reduced(loss if class_weights is None else class_weights.to(loss.dtype)[y] * loss, reduction)


def binary_cross_entropy(logits: Tensor, y: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Compute the cross-entropy of logits (B,) and classes 0 or 1, or probabilities of class 1, (B,)."""
    logits = full(logits)
    return F.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), reduction=reduction)


def binary_focal(
    logits: Tensor, y: Tensor, gamma: float = GAMMA, alpha: float | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Compute the focal loss of logits (B,) and classes (B,), 0 or 1; see `focal`.

    alpha_t is `alpha` for class 1 and 1 - `alpha` for class 0, or 1 for both if it is None.
    """
    logits, positive = full(logits), y == 1
    signed = torch.where(positive, logits, -logits)  # p_t is the sigmoid of it
    loss = -torch.exp(gamma * F.logsigmoid(-signed)) * F.logsigmoid(signed)
    if alpha is not None:
        loss = torch.where(positive, alpha, 1 - alpha) * loss
    return reduced(loss, reduction)


def mse(output: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Compute the squared error of two tensors of the same shape."""
    return F.mse_loss(output, target, reduction=reduction)


def mae(output: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Compute the absolute error of two tensors of the same shape. Its gradient has the same size for all errors."""
    return F.l1_loss(output, target, reduction=reduction)


def huber(output: Tensor, target: Tensor, delta: float = DELTA, reduction: Reduction = "mean") -> Tensor:
    """Compute e^2 / 2 for errors |e| up to `delta`, and delta (|e| - delta / 2) beyond (Huber, 1964).

    Both parts have the same value and the same slope at `delta`. Outliers pull with a gradient of at most `delta`.
    """
    return F.huber_loss(output, target, delta=delta, reduction=reduction)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Compute the triplet loss of embeddings (B, F) each; see `triplet_loss`.

    torch's `triplet_margin_loss` adds 1e-6 to the differences of embeddings, to avoid the distance 0.
    """
    return reduced(triplet_loss(distance(anchor, positive), distance(anchor, negative), margin), reduction)


def contrastive(a: Tensor, b: Tensor, similar: Tensor, margin: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Compute the contrastive loss of pairs of embeddings (B, F) each; `similar` (B,) is 1 or 0. See `contrastive_loss`."""
    return reduced(contrastive_loss(distance(a, b), similar, margin), reduction)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Compute the Euclidean distances (B,) of rows (B, F). The gradient at distance 0 is 0; that of a square root is NaN."""
    return torch.linalg.vector_norm(a - b, dim=1)


def prior_bias(prior: float) -> float:
    """Return the bias of a logit at which the sigmoid is `prior`, in (0, 1): log(prior / (1 - prior)).

    With it, a network that starts with weights near 0 predicts the rare class with its frequency, so that the many samples of
    the frequent class do not dominate the first steps (Lin et al., 2017, section 3.3).
    """
    return math.log(prior / (1 - prior))


def reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    """Return the mean, the sum, or the values of a loss.

    Raises:
        ZooError: if the reduction is unknown.
    """
    match reduction:
        case "none":
            return loss
        case "mean":
            return loss.mean()
        case "sum":
            return loss.sum()
        case _:
            raise ZooError(f"unknown reduction {reduction!r}: choose one of none, mean, sum")


def full(logits: Tensor) -> Tensor:
    """Cast logits to at least float32: a difference of large means loses precision in half."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
