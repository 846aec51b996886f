"""An MLP that is trained by the hand-written backward pass learns the weights that autograd learns."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from lightning import Trainer

from datamodules import Digits
from datamodules.core.base import DataModule
from datamodules.core.batch import Batch
from zoo.mlp.backprop_mlp import BackpropMLP
from zoo.mlp.mlp import MLPClassifier
from zoo.nn.backprop import Hidden
from zoo.training.system import System

Fit = Callable[..., Trainer]
RECIPE = {"hidden_dims": (32, 32), "lr": 0.003, "optim": {"name": "adamw", "weight_decay": 0.01, "warmup_steps": 3}}


def trained(fit: Fit, data: DataModule | Digits, kind: type[System], arguments: dict[str, Any], **trainer: Any) -> System:
    torch.manual_seed(0)
    system = kind(data.input_shape, data.num_classes, **arguments)
    fit(system, data, **trainer)
    return system


@pytest.mark.parametrize(
    "trainer",
    [{}, {"accumulate_grad_batches": 3}, {"gradient_clip_val": 0.5}, {"precision": "64-true"}],
    ids=["plain", "accumulating", "clipping", "float64"],
)
@pytest.mark.parametrize("activation", get_args(Hidden))
def test_learns_the_weights_of_autograd(fit: Fit, digits: Digits, activation: Hidden, trainer: dict[str, Any]) -> None:
    settings = {**RECIPE, "activation": activation}
    ours, theirs = (
        trained(fit, digits, kind, settings, max_epochs=4, limit_val_batches=0, **trainer)
        for kind in (BackpropMLP, MLPClassifier)
    )
    before = MLPClassifier(digits.input_shape, 10, **settings).state_dict()
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, rtol=0, atol=1e-6)
        assert not torch.allclose(weight.float(), before[name].float(), atol=1e-4)


def test_half_precision_trains_in_the_dtype_of_the_weights(fit: Fit, digits: Digits) -> None:
    half, full = (
        trained(fit, digits, BackpropMLP, RECIPE, max_epochs=2, limit_val_batches=0, precision=precision)
        for precision in ("bf16-mixed", "32-true")
    )
    for name, weight in full.state_dict().items():
        assert torch.equal(half.state_dict()[name], weight)


def test_step_and_forward_compute_the_same_logits() -> None:
    model, x = BackpropMLP((1, 2, 3), 4, hidden_dims=(5, 6), activation="tanh"), torch.randn(7, 1, 2, 3)
    _, outputs = model.step(Batch(x, torch.arange(7) % 4, torch.arange(7)), torch.zeros(()))
    torch.testing.assert_close(outputs["preds"], model(x).detach())


def test_refuses_an_activation_whose_derivative_is_not_written_out() -> None:
    with pytest.raises(ValueError, match="unknown activation 'gelu': choose one of relu, sigmoid, tanh"):
        BackpropMLP((4,), 3, activation="gelu")  # type: ignore[arg-type]  # wrong on purpose


def test_refuses_inputs_of_another_shape() -> None:
    batch = Batch(torch.randn(2, 5), torch.zeros(2, dtype=torch.long), torch.arange(2))
    with pytest.raises(ValueError, match="shape"):
        BackpropMLP((4,), 3).step(batch, torch.zeros(()))
