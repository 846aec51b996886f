"""Every loss equals its formula, has the gradient of its formula, and stays finite at extreme logits."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from zoo.errors import ZooError
from zoo.nn.losses import (
    BinaryLoss,
    ClassLoss,
    TargetLoss,
    binary_cross_entropy,
    binary_focal,
    check_loss,
    contrastive,
    cross_entropy,
    distance,
    focal,
    huber,
    mae,
    mse,
    prior_bias,
    triplet,
)

Y = torch.tensor([0, 2, 1, 1, 3])
WEIGHTS = torch.tensor([0.5, 3.0, 0.0, 1.0])
SOFT = torch.tensor([[0.7, 0.3, 0, 0], [0, 0, 1, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0, 0.5], [0.1, 0.2, 0.3, 0.4]])
BINARY = torch.tensor([0, 1, 1, 0, 1])
REDUCE: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "mean": Tensor.mean, "sum": Tensor.sum}


def numbers(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax_by_hand(logits: Tensor) -> Tensor:
    powers = torch.tensor([[math.exp(z) for z in row] for row in logits.tolist()], dtype=torch.float64)
    return powers / powers.sum(1, keepdim=True)


def close(found: Tensor, oracle: Tensor) -> None:
    torch.testing.assert_close(found, oracle, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS.double()], ids=["plain", "weighted"])
@pytest.mark.parametrize("y", [Y, SOFT.double()], ids=["hard", "soft"])
def test_cross_entropy(y: Tensor, weights: Tensor | None, share: float, reduction: Any) -> None:
    logits = numbers(5, 4)
    target = F.one_hot(y, 4).double() if y.ndim == 1 else y
    target = (1 - share) * target + share / 4
    oracle = -(target * softmax_by_hand(logits).log() * (1 if weights is None else weights)).sum(1)
    close(cross_entropy(logits, y, weights, share, reduction), REDUCE[reduction](oracle))


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS.double()], ids=["plain", "weighted"])
def test_focal(weights: Tensor | None, gamma: float, reduction: Any) -> None:
    logits = numbers(5, 4)
    p = softmax_by_hand(logits)[torch.arange(5), Y]
    alpha = 1 if weights is None else weights[Y]
    close(focal(logits, Y, gamma, weights, reduction), REDUCE[reduction](-alpha * (1 - p) ** gamma * p.log()))


def test_focal_without_focus_is_the_cross_entropy_and_two_logits_are_the_binary_form() -> None:
    logits = numbers(5, 4)
    close(focal(logits, Y, gamma=0.0), cross_entropy(logits, Y))
    z = numbers(5)
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    close(focal(two, BINARY, reduction="none"), binary_focal(z, BINARY, reduction="none"))


def test_focal_reduces_easy_samples_by_the_published_factors() -> None:
    """With gamma 2, p = 0.9 has 100 times less loss than under cross-entropy, 0.5 has 4 times less (section 3.2)."""
    for p, factor in ((0.9, 100), (0.968, 1000), (0.5, 4)):
        z = torch.tensor([prior_bias(p)], dtype=torch.float64)
        ratio = binary_cross_entropy(z, torch.tensor([1])) / binary_focal(z, torch.tensor([1]), gamma=2.0)
        assert ratio.item() == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("reduction", REDUCE)
def test_binary_cross_entropy(reduction: Any) -> None:
    z = numbers(5)
    p = 1 / (1 + torch.exp(-z))
    close(binary_cross_entropy(z, BINARY, reduction), REDUCE[reduction](-torch.where(BINARY == 1, p, 1 - p).log()))


@pytest.mark.parametrize("reduction", REDUCE)
@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_binary_focal_weights_both_classes(gamma: float, alpha: float | None, reduction: Any) -> None:
    z = numbers(5)
    oracle = []
    for logit, label in zip(z.tolist(), BINARY.tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        p_t = p if label else 1 - p
        alpha_t = 1 if alpha is None else alpha if label else 1 - alpha
        oracle.append(-alpha_t * (1 - p_t) ** gamma * math.log(p_t))
    expected = REDUCE[reduction](torch.tensor(oracle, dtype=torch.float64))
    close(binary_focal(z, BINARY, gamma, alpha, reduction), expected)


@pytest.mark.parametrize("reduction", REDUCE)
def test_errors_of_numbers(reduction: Any) -> None:
    output, target = numbers(5, 3), numbers(5, 3, seed=1)
    errors = [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(output.tolist(), target.tolist(), strict=True)]

    def by_hand(loss: Callable[[float], float]) -> Tensor:
        return REDUCE[reduction](torch.tensor([[loss(error) for error in row] for row in errors], dtype=torch.float64))

    close(mse(output, target, reduction), by_hand(lambda e: e * e))
    close(mae(output, target, reduction), by_hand(abs))
    for delta in (0.5, 2.0):
        inside_or_out = by_hand(lambda e, delta=delta: 0.5 * e * e if abs(e) <= delta else delta * (abs(e) - 0.5 * delta))
        close(huber(output, target, delta, reduction), inside_or_out)


def test_huber_has_the_slope_of_the_squared_error_inside_and_delta_outside() -> None:
    errors = torch.tensor([-9.0, -1.5, 0.0, 0.3, 2.0, 100.0], requires_grad=True)
    huber(errors, torch.zeros(6), delta=1.5, reduction="sum").backward()
    assert errors.grad is not None
    close(errors.grad, torch.tensor([-1.5, -1.5, 0.0, 0.3, 1.5, 1.5]))


@pytest.mark.parametrize("reduction", REDUCE)
def test_triplet(reduction: Any) -> None:
    a, p, n = numbers(5, 3), numbers(5, 3, seed=1), numbers(5, 3, seed=2)
    oracle = [
        max(0.0, math.dist(x, y) - math.dist(x, z) + 0.7) for x, y, z in zip(a.tolist(), p.tolist(), n.tolist(), strict=True)
    ]
    assert 0 < sum(value > 0 for value in oracle) < 5
    close(triplet(a, p, n, 0.7, reduction), REDUCE[reduction](torch.tensor(oracle, dtype=torch.float64)))
    close(triplet(a, p, n, 0.7), F.triplet_margin_loss(a, p, n, margin=0.7, eps=0.0))


@pytest.mark.parametrize("reduction", REDUCE)
def test_contrastive_means_similar_by_1(reduction: Any) -> None:
    a, b = numbers(5, 3, scale=0.5), numbers(5, 3, seed=1, scale=0.5)
    oracle = []
    for x, y, similar in zip(a.tolist(), b.tolist(), BINARY.tolist(), strict=True):
        d = math.dist(x, y)
        oracle.append(d**2 if similar else max(0.0, 1.5 - d) ** 2)
    close(contrastive(a, b, BINARY, 1.5, reduction), REDUCE[reduction](torch.tensor(oracle, dtype=torch.float64)))


def test_equal_embeddings_have_a_gradient_of_0_where_a_square_root_has_none() -> None:
    def gradients(loss: Callable[..., Tensor]) -> list[Tensor]:
        same = [torch.ones(2, 3, requires_grad=True) for _ in range(3)]
        return [g for g in torch.autograd.grad(loss(*same).sum(), same, allow_unused=True) if g is not None]

    for loss in (triplet, lambda a, b, c: contrastive(a, b, torch.tensor([0, 1]))):
        assert all(torch.equal(gradient, torch.zeros(2, 3)) for gradient in gradients(loss))
    naive = gradients(lambda a, b, c: (a - b).square().sum(1).sqrt())
    assert all(gradient.isnan().any() for gradient in naive)
    assert distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])).item() == 5


OF_LOGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "cross_entropy": lambda z: cross_entropy(z, Y),
    "cross_entropy, soft": lambda z: cross_entropy(z, SOFT.to(z.dtype)),
    "cross_entropy, weighted": lambda z: cross_entropy(z, Y, WEIGHTS.to(z.dtype), 0.1),
    **{f"focal, gamma {gamma}": (lambda z, gamma=gamma: focal(z, Y, gamma, WEIGHTS.to(z.dtype))) for gamma in (0.0, 0.5, 2.0)},
    "bce": lambda z: binary_cross_entropy(z[:, 0], BINARY),
    **{
        f"binary focal, gamma {gamma}": (lambda z, gamma=gamma: binary_focal(z[:, 0], BINARY, gamma, 0.25))
        for gamma in (0.0, 0.5, 2.0)
    },
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "mse": lambda x: mse(x, torch.zeros_like(x)),
    "mae": lambda x: mae(x, torch.zeros_like(x)),
    "huber": lambda x: huber(x, torch.zeros_like(x)),
    "triplet": lambda x: triplet(x, x.flip(0), x.roll(1, 0)),
    "contrastive": lambda x: contrastive(x, x.roll(1, 0), BINARY, 2.5),
}


@pytest.mark.parametrize("name", [*OF_LOGITS, *OTHERS])
def test_gradients_are_those_of_the_values(name: str) -> None:
    assert gradcheck({**OF_LOGITS, **OTHERS}[name], (numbers(5, 4).requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", OF_LOGITS)
def test_extreme_logits_give_finite_values_and_gradients(name: str, dtype: torch.dtype) -> None:
    signs = torch.tensor([[1, -1, 1, -1], [-1, 1, 1, 1], [1, 1, 1, 1], [-1, 1, -1, 0], [0, 0, 0, -1]])
    for size in (1e4, -1e4):
        logits = (size * signs).to(dtype).requires_grad_()
        loss = OF_LOGITS[name](logits)
        loss.backward()
        assert loss.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_sure_predictions_have_the_loss_of_the_limit() -> None:
    wrong = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = focal(wrong, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 2e4  # 1 - p_t is 1
    close(wrong.grad, torch.tensor([[1.0, -1.0]]))  # type: ignore[arg-type]  # there is a gradient
    assert focal(torch.tensor([[1e4, -1e4]]), torch.tensor([0])).item() == 0


def test_a_bias_of_the_prior_predicts_it() -> None:
    for prior in (0.01, 0.5, 0.9):
        assert 1 / (1 + math.exp(-prior_bias(prior))) == pytest.approx(prior)
    assert prior_bias(0.01) == pytest.approx(-math.log(99))  # -log((1 - pi) / pi), Lin et al., 2017, section 4.1


def test_settings_get_their_defaults() -> None:
    assert check_loss(None, ClassLoss) == {"name": "cross_entropy"}
    assert check_loss({"name": "focal"}, ClassLoss) == {"name": "focal", "gamma": 2.0}
    assert check_loss({"name": "focal", "alpha": 0.25}, BinaryLoss) == {"name": "focal", "alpha": 0.25, "gamma": 2.0}
    assert check_loss(None, BinaryLoss) == {"name": "bce"}
    assert check_loss(None, TargetLoss) == {"name": "mse"}
    assert check_loss({"name": "huber"}, TargetLoss) == {"name": "huber", "delta": 1.0}


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        ({"name": "hinge"}, ClassLoss, "unknown loss 'hinge': choose one of cross_entropy, focal"),
        ({"name": "l2"}, TargetLoss, "unknown loss 'l2': choose one of mse, mae, huber"),
        ({"name": "mse"}, BinaryLoss, "unknown loss 'mse': choose one of bce, focal"),
        ({"alpha": 0.5}, ClassLoss, "loss has no 'alpha': choose from name, gamma"),
        ({"gamma": 1.0}, ClassLoss, "loss.gamma has no effect with loss 'cross_entropy', only with focal: leave it out"),
        ({"name": "mae", "delta": 1.0}, TargetLoss, "loss.delta has no effect with loss 'mae', only with huber"),
        ({"name": "focal", "gamma": -1.0}, ClassLoss, "loss.gamma must be 0 or more, got -1.0"),
        ({"name": "focal", "gamma": math.nan}, ClassLoss, "loss.gamma must be 0 or more, got nan"),
        ({"name": "focal", "alpha": 1.0}, BinaryLoss, "loss.alpha must lie between 0 and 1, got 1.0"),
        ({"name": "focal", "prior": 0.0}, BinaryLoss, "loss.prior must lie between 0 and 1, got 0.0"),
        ({"name": "huber", "delta": 0.0}, TargetLoss, "loss.delta must be positive, got 0.0: for the absolute error, choose"),
        ({"name": "huber", "delta": math.inf}, TargetLoss, "loss.delta must be positive, got inf"),
    ],
)
def test_other_settings_are_refused(loss: dict[str, Any], kind: type, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        check_loss(loss, kind)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ZooError, match="unknown reduction 'max': choose one of none, mean, sum"):
        triplet(numbers(2, 3), numbers(2, 3), numbers(2, 3), reduction="max")  # type: ignore[arg-type]  # wrong on purpose
