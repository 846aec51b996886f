"""Settings reach the optimizer and the schedule, and invalid settings are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zoo.mlp.mlp import MLPClassifier
from zoo.training.optim import check_optim, configure

LR = 0.1


def build(optim: dict[str, Any], total_steps: int = 10, lr: float = LR, **arguments: Any) -> dict[str, Any]:
    """Return a small MLP with the optimizer and the schedule that `configure` builds for it."""
    system = MLPClassifier((4,), 3, hidden_dims=(8,), lr=lr, optim=optim, **arguments)  # type: ignore[arg-type]  # a plain dict
    configured: Any = configure(system, lr, system.optim, total_steps, monitor="val/loss")
    return {"system": system, "optimizer": configured["optimizer"], **configured["lr_scheduler"]}


def test_plateau_is_torchs_with_the_given_settings() -> None:
    built = build({"schedule": "plateau", "factor": 0.3, "patience": 2})
    scheduler, optimizer = built["scheduler"], built["optimizer"]
    assert isinstance(scheduler, ReduceLROnPlateau)
    assert built["monitor"] == "val/loss"
    seen = []
    for loss in [1.0, 0.5, 0.5, 0.5, 0.5, 0.4]:  # three validations without progress, one more than `patience`
        scheduler.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([LR, LR, LR, LR, 0.3 * LR, 0.3 * LR])


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("name", ["adamw", "sgd", "lion"])
def test_weights_decay_but_biases_and_norms_do_not(name: str, norm: str) -> None:
    built = build({"name": name, "weight_decay": 0.3}, norm=norm)
    decay = {id(p): group["weight_decay"] for group in built["optimizer"].param_groups for p in group["params"]}
    names = dict(built["system"].named_parameters())
    assert len(decay) == len(names)  # each parameter is in exactly one group
    matrices = {"net.hidden.0.weight", "net.output.weight"}
    assert {name: decay[id(p)] for name, p in names.items()} == {name: 0.3 if name in matrices else 0.0 for name in names}


def test_decay_shrinks_weights_with_zero_gradient_but_not_biases() -> None:
    built = build({"name": "adamw", "weight_decay": 0.5, "schedule": "constant"})
    net = built["system"].net
    for parameter in net.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    built["optimizer"].step()
    torch.testing.assert_close(net.output.weight, torch.full((3, 8), 1 - LR * 0.5))
    assert torch.equal(net.output.bias, torch.ones(3))


@pytest.mark.parametrize(
    ("optim", "field", "value"),
    [
        ({}, "betas", (0.9, 0.999)),
        ({"name": "sgd"}, "momentum", 0.0),
        ({"name": "sgd", "momentum": 0}, "momentum", 0),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, "nesterov", True),
        ({"name": "rmsprop", "alpha": 0.9}, "alpha", 0.9),
        ({"name": "sgd", "momentum": 0.5}, "momentum", 0.5),
        ({"name": "adam", "betas": [0.5, 0.9]}, "betas", (0.5, 0.9)),
        ({"name": "adamw", "eps": 1e-3}, "eps", 1e-3),
        ({"name": "adamw"}, "lr", LR),
    ],
)
def test_settings_reach_the_optimizer(optim: dict[str, Any], field: str, value: Any) -> None:
    assert build({**optim, "schedule": "constant"})["optimizer"].param_groups[0][field] == value


@pytest.mark.parametrize(("name", "fused"), [("adamw", True), ("sgd", True), ("lion", None), ("lamb", None)])
def test_a_fused_kernel_is_used_if_there_is_one(name: str, fused: bool | None) -> None:
    assert build({"name": name})["optimizer"].defaults.get("fused") is fused


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_can_be_clipped_in_any_precision(
    precision: str, fit: Callable[..., Trainer], blobs: Callable[..., Any]
) -> None:
    optim: Any = {"name": "momentum", "momentum": 0.0, "schedule": "constant"}
    model = MLPClassifier((4,), 3, hidden_dims=(8,), lr=1.0, optim=optim)
    before = weights(model)
    fit(model, blobs(), max_steps=1, precision=precision, gradient_clip_val=0.01)
    assert (weights(model) - before).norm().item() == pytest.approx(0.01, rel=1e-3)  # with lr 1 the update equals the gradient


@pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 needs a GPU")
def test_in_fp16_gradients_are_clipped_after_unscaling(fit: Callable[..., Trainer], blobs: Callable[..., Any]) -> None:
    optim: Any = {"name": "momentum", "momentum": 0.0, "schedule": "constant"}
    model = MLPClassifier((4,), 3, hidden_dims=(8,), lr=1.0, optim=optim)
    before = weights(model)
    trainer = fit(model, blobs(), max_steps=20, accelerator="gpu", precision="16-mixed", gradient_clip_val=0.01)
    assert not trainer.optimizers[0].defaults.get("fused")
    moved = (weights(model).cpu() - before).norm().item()
    assert 0 < moved <= 20 * 0.01 * 1.01  # at most 0.01 per step; the first steps are skipped while the gradient scale adapts


def weights(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def test_valid_settings_are_returned_unchanged() -> None:
    optim: Any = {"name": "sgd", "momentum": 0.5, "schedule": "step", "step_every": 3}
    assert check_optim(optim) == optim
    assert check_optim(None) == {}


@pytest.mark.parametrize(
    ("optim", "message"),
    [
        ({"lr": 0.1}, "optim has no 'lr': choose from name, weight_decay"),
        ({"schedule": "lineal"}, "unknown schedule 'lineal': choose one of constant, linear, step, cosine, one_cycle, plateau"),
        ({"name": "adamv"}, "unknown optimizer 'adamv': choose adam"),
        ({"name": "fusedsgd"}, "unknown optimizer 'fusedsgd': choose sgd"),
        ({"name": "bnbadam"}, "unknown optimizer 'bnbadam': choose nadam, nadamw, adam"),
        ({"name": "adamw", "momentum": 0.5}, "optimizer 'adamw' has no momentum: leave optim.momentum out"),
        ({"name": "sgd", "betas": [0.9, 0.99]}, "optimizer 'sgd' has no betas"),
        ({"name": "sgd", "eps": 1e-6}, "optimizer 'sgd' has no eps"),
        ({"name": "adamw", "nesterov": True}, "optimizer 'adamw' has no nesterov"),
        ({"name": "adafactor", "betas": [0.9, 0.99]}, "optimizer 'adafactor' has no betas"),
        ({"betas": [0.9]}, r"optim.betas must be 2 numbers in \[0, 1\) for 'adamw', got \[0.9\]"),
        ({"betas": [0.9, 1.5]}, r"optim.betas must be 2 numbers in \[0, 1\) for 'adamw', got \[0.9, 1.5\]"),
        ({"name": "adan", "betas": [0.9, 0.99]}, "optim.betas must be 3 numbers"),
        ({"eps": -1}, "optim.eps must be 0 or more, got -1"),
        ({"eps": float("nan")}, "optim.eps must be 0 or more, got nan"),
        ({"name": "sgd", "momentum": 1.0}, r"optim.momentum must lie in \[0, 1\), got 1.0"),
        ({"name": "rmsprop", "alpha": -0.1}, r"optim.alpha must lie in \[0, 1\), got -0.1"),
        ({"name": "sgd", "nesterov": True}, "Nesterov's momentum must be above 0, got 0.0: set optim.momentum"),
        ({"name": "nesterov", "momentum": 0}, "Nesterov's momentum must be above 0, got 0: set optim.momentum"),
        ({"weight_decay": float("nan")}, "optim.weight_decay must be 0 or more, got nan"),
        (
            {"schedule": "one_cycle", "warmup_steps": 5},
            "warmup_steps has no effect with schedule 'one_cycle', only with constant, linear, step, cosine:",
        ),
        (
            {"schedule": "plateau", "warmup_steps": 5},
            "warmup_steps has no effect with schedule 'plateau', only with constant, linear, step, cosine:",
        ),
        ({"schedule": "constant", "patience": 3}, "patience has no effect with schedule 'constant', only with plateau:"),
        ({"schedule": "cosine", "factor": 0.2}, "factor has no effect with schedule 'cosine', only with step, plateau:"),
        ({"warmup_steps": -1}, r"optim.warmup_steps must be 0 or more, got -1"),
        ({"final": -0.1}, r"optim.final must be 0 or more, got -0.1"),
        ({"weight_decay": -0.1}, r"optim.weight_decay must be 0 or more, got -0.1"),
        ({"schedule": "linear", "hold": 1.0}, r"optim.hold must lie in \[0, 1\), got 1.0"),
        ({"schedule": "cosine", "hold": 0.2}, "hold has no effect with schedule 'cosine', only with linear:"),
        ({"schedule": "step", "step_every": 0}, "optim.step_every must be at least 1, got 0"),
        ({"schedule": "step", "factor": 1.0}, "optim.factor must lie between 0 and 1, got 1.0"),
        ({"schedule": "plateau", "factor": 0.0}, "optim.factor must lie between 0 and 1, got 0.0"),
    ],
)
def test_invalid_settings_are_refused(optim: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_optim(optim)
