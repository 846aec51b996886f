"""Schedules equal those of torch and their closed forms, also after a resume with another number of steps."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, OneCycleLR, StepLR

from zoo.cli.main import main
from zoo.errors import ZooError
from zoo.mlp.mlp import MLPClassifier
from zoo.training.optim import configure
from zoo.training.schedules import ByStep, Schedule, cycled_momentum, learning_rate_factor

LR = 0.1
BY_STEP: list[Schedule] = ["constant", "linear", "step", "cosine", "one_cycle"]


def build(optim: dict[str, Any], total_steps: int = 10) -> dict[str, Any]:
    """Return the optimizer and the schedule that `configure` builds for a small MLP."""
    system = MLPClassifier((4,), 3, hidden_dims=(8,), lr=LR, optim=optim)  # type: ignore[arg-type]  # a plain dict
    configured: Any = configure(system, LR, system.optim, total_steps, monitor="val/loss")
    return {"optimizer": configured["optimizer"], **configured["lr_scheduler"]}


def rates(scheduler: LRScheduler, optimizer: Optimizer, steps: int) -> list[float]:
    """Return the learning rate at each optimizer step, and the one after the last step."""
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def torch_rates(make: Callable[[Optimizer], LRScheduler], steps: int) -> list[float]:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    return rates(make(optimizer), optimizer, steps)


def our_rates(steps: int, total_steps: int, schedule: Schedule, **arguments: Any) -> list[float]:
    return [LR * learning_rate_factor(step, total_steps, schedule, **arguments) for step in range(steps + 1)]


@pytest.mark.parametrize("total_steps", [1, 2, 7, 100])
@pytest.mark.parametrize("final", [0.0, 0.05])
def test_cosine_equals_torch(total_steps: int, final: float) -> None:
    oracle = torch_rates(lambda optimizer: CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final * LR), total_steps)
    assert our_rates(total_steps, total_steps, "cosine", final=final) == pytest.approx(oracle, abs=1e-9)
    assert oracle[-1] == pytest.approx(final * LR, abs=1e-9)


@pytest.mark.parametrize("total_steps", [1, 7, 100])
def test_linear_decay_without_a_hold_equals_torch(total_steps: int) -> None:
    oracle = torch_rates(
        lambda optimizer: LinearLR(optimizer, start_factor=1.0, end_factor=0.2, total_iters=total_steps), total_steps
    )
    assert our_rates(total_steps, total_steps, "linear", final=0.2, hold=0.0) == pytest.approx(oracle, abs=1e-12)


def test_linear_is_constant_for_the_first_half_and_then_falls_to_final() -> None:
    assert our_rates(8, 8, "linear") == pytest.approx([LR] * 5 + [0.75 * LR, 0.5 * LR, 0.25 * LR, 0])
    assert our_rates(10, 10, "linear", warmup_steps=2, final=0.5)[2:] == pytest.approx(
        [LR] * 5 + [0.875 * LR, 0.75 * LR, 0.625 * LR, 0.5 * LR]
    )


@pytest.mark.parametrize(("step_every", "factor"), [(3, 0.1), (4, 0.5), (10, 0.1)])
def test_step_equals_torch(step_every: int, factor: float) -> None:
    oracle = torch_rates(lambda optimizer: StepLR(optimizer, step_every, gamma=factor), 10)
    assert our_rates(10, 10, "step", step_every=step_every, factor=factor) == pytest.approx(oracle)


def test_step_decays_twice_within_the_training_by_default() -> None:
    assert our_rates(29, 30, "step") == pytest.approx([LR] * 10 + [0.1 * LR] * 10 + [0.01 * LR] * 10)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step"])
def test_warmup_equals_torchs_linear_schedule(schedule: Schedule) -> None:
    oracle = torch_rates(lambda optimizer: LinearLR(optimizer, start_factor=1 / 8, total_iters=7), 7)
    assert our_rates(7, 100, schedule, warmup_steps=8, step_every=50) == pytest.approx(oracle)
    assert oracle[-1] == pytest.approx(LR)


def test_cosine_after_warmup_spans_the_remaining_steps() -> None:
    oracle = torch_rates(lambda optimizer: CosineAnnealingLR(optimizer, T_max=92, eta_min=0.01 * LR), 92)
    assert our_rates(100, 100, "cosine", warmup_steps=8, final=0.01)[8:] == pytest.approx(oracle, abs=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "step"])
@pytest.mark.parametrize("warmup_steps", [0, 5, 20, 30])
def test_never_rises_after_warmup_and_keeps_its_last_value(schedule: Schedule, warmup_steps: int) -> None:
    seen = our_rates(60, 20, schedule, warmup_steps=warmup_steps)
    after = seen[warmup_steps:]
    assert after == sorted(after, reverse=True)
    assert seen[20:] == [seen[20]] * 41  # torch's cosine would rise to its maximum again at step 40


def test_plateau_is_not_a_function_of_the_step() -> None:
    with pytest.raises(ValueError, match="schedule 'plateau' is not a function of the step alone"):
        learning_rate_factor(0, 10, "plateau")


def test_the_optimizer_follows_the_factor() -> None:
    built = build({"name": "momentum", "schedule": "cosine", "warmup_steps": 2, "final": 0.1}, total_steps=9)
    assert built["interval"] == "step"
    expected = our_rates(9, 9, "cosine", warmup_steps=2, final=0.1)
    assert rates(built["scheduler"], built["optimizer"], 9) == pytest.approx(expected)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 9, 10, 33, 100, 1001])
@pytest.mark.parametrize("final", [0.0, 0.02])
@pytest.mark.parametrize(("name", "field"), [("adamw", "betas"), ("momentum", "momentum"), ("adan", "betas")])
def test_one_cycle_equals_torch_in_rate_and_momentum(total_steps: int, final: float, name: str, field: str) -> None:
    """torch's schedule takes one step more, so that its last value is set after the last step."""
    built = build({"schedule": "one_cycle", "name": name, "final": final}, total_steps=total_steps)
    optimizer = copy.deepcopy(built["optimizer"])
    for group in optimizer.param_groups:
        group.pop("initial_lr")
        group["lr"] = LR
    end = final or 1e-5
    oracle = OneCycleLR(
        optimizer,
        max_lr=LR,
        total_steps=total_steps + 1,
        div_factor=25.0,
        final_div_factor=1 / (25 * end),
        pct_start=0.3,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    for step in range(total_steps + 1):
        for ours, torchs in zip(built["optimizer"].param_groups, optimizer.param_groups, strict=True):
            assert ours["lr"] == pytest.approx(torchs["lr"], rel=1e-12, abs=1e-15)
            assert ours[field] == pytest.approx(torchs[field], rel=1e-12)
        if step < total_steps:
            for following, its in ((built["scheduler"], built["optimizer"]), (oracle, optimizer)):
                its.step()
                following.step()


def test_one_cycle_starts_low_peaks_at_lr_and_ends_at_final() -> None:
    built = build({"schedule": "one_cycle", "final": 0.02}, total_steps=99)
    seen = rates(built["scheduler"], built["optimizer"], 99)
    assert seen[0] == pytest.approx(LR / 25)
    assert max(seen) == seen[29] == pytest.approx(LR)  # the first 30 % are warm-up
    assert seen[-1] == pytest.approx(0.02 * LR)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10])
def test_one_cycle_spans_exactly_the_steps_of_the_training(total_steps: int) -> None:
    built = build({"schedule": "one_cycle"}, total_steps=total_steps)
    seen = rates(built["scheduler"], built["optimizer"], total_steps)
    assert max(seen) <= LR * (1 + 1e-6)
    assert seen[-1] < 0.01 * LR


def test_one_cycle_cycles_momentum_inversely_to_the_rate() -> None:
    built = build({"schedule": "one_cycle", "name": "adamw"}, total_steps=99)
    betas = []
    for _ in range(99):
        betas.append(built["optimizer"].param_groups[0]["betas"][0])
        built["optimizer"].step()
        built["scheduler"].step()
    assert betas[0] == pytest.approx(0.95)
    assert betas[29] == min(betas) == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("optim", "field", "value"),
    [
        ({"name": "momentum", "momentum": 0.5}, "momentum", 0.5),
        ({"name": "adamw", "betas": [0.8, 0.99]}, "betas", (0.8, 0.99)),
    ],
)
def test_one_cycle_keeps_a_given_momentum(optim: dict[str, Any], field: str, value: Any) -> None:
    built = build({**optim, "schedule": "one_cycle"}, total_steps=9)
    rates(built["scheduler"], built["optimizer"], 9)
    assert built["optimizer"].param_groups[0][field] == value


@pytest.mark.parametrize("name", ["adagrad", "sgd", "rmsprop"])
def test_one_cycle_gives_no_momentum_to_optimizers_without_one(name: str) -> None:
    """torch's schedule sets the momentum of plain SGD to 0.95 unless it is told not to."""
    built = build({"name": name, "schedule": "one_cycle"}, total_steps=9)
    assert not built["optimizer"].param_groups[0].get("momentum")
    assert max(rates(built["scheduler"], built["optimizer"], 9)) == pytest.approx(LR, rel=0.05)


def test_warmup_that_outlasts_the_training_warns() -> None:
    with pytest.warns(UserWarning, match=r"warm-up of 20 steps outlasts the training of 10: lr never reaches 0\.1"):
        build({"warmup_steps": 20}, total_steps=10)


class Rates(Callback):
    """Records step, learning rate and first beta that each training batch uses."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, float]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        group = trainer.optimizers[0].param_groups[0]
        self.seen.append((trainer.global_step, group["lr"], group["betas"][0]))


def closed_form(step: int, total_steps: int, schedule: Schedule, warmup_steps: int = 0) -> tuple[float, float]:
    momentum = cycled_momentum(step, total_steps) if schedule == "one_cycle" else 0.9
    return LR * learning_rate_factor(step, total_steps, schedule, warmup_steps=warmup_steps), momentum


def trained(
    fit: Callable[..., Trainer], data: Any, optim: dict[str, Any], path: Path | None = None, **arguments: Any
) -> tuple[Trainer, list[tuple[int, float, float]]]:
    rates, system = Rates(), MLPClassifier((4,), 3, hidden_dims=(8,), lr=LR, optim=optim)  # type: ignore[arg-type]  # a plain dict
    trainer = fit(system, data, callbacks=[rates], ckpt_path=path, **arguments)
    return trainer, rates.seen


OPTIMS = [{"schedule": schedule} for schedule in BY_STEP] + [
    {"schedule": schedule, "warmup_steps": 7} for schedule in BY_STEP if schedule != "one_cycle"
]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("optim", OPTIMS, ids=str)
def test_every_step_of_a_fit_has_the_closed_form(
    optim: dict[str, Any], accumulate: int, fit: Callable[..., Trainer], blobs: Callable[..., Any]
) -> None:
    trainer, seen = trained(fit, blobs(), optim, max_epochs=3, accumulate_grad_batches=accumulate)
    total = 3 * -(-10 // accumulate)
    assert trainer.global_step == total
    assert len(seen) == 30  # batches
    assert {step for step, _, _ in seen} == set(range(total))
    for step, lr, momentum in seen:
        assert (lr, momentum) == pytest.approx(closed_form(step, total, **optim), abs=1e-9)


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("optim", OPTIMS, ids=str)
def test_a_resumed_fit_with_more_epochs_follows_the_new_schedule_or_is_refused_before_it_trains(
    optim: dict[str, Any], stop: int, fit: Callable[..., Trainer], blobs: Callable[..., Any], tmp_path: Path
) -> None:
    trainer, _ = trained(fit, blobs(), optim, max_epochs=stop)
    done = trainer.global_step
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    if optim["schedule"] == "one_cycle":
        planned = rf"the one_cycle schedule was planned for {done} steps and cannot be extended, but the run now has 50"
        with pytest.raises(ZooError, match=planned):
            trained(fit, blobs(), optim, tmp_path / "a.ckpt", max_epochs=5)
        return
    _, seen = trained(fit, blobs(), optim, tmp_path / "a.ckpt", max_epochs=5)
    assert [step for step, _, _ in seen] == list(range(done, 50))
    for step, lr, momentum in seen:
        assert (lr, momentum) == pytest.approx(closed_form(step, 50, **optim), abs=1e-9)


@pytest.mark.parametrize("schedule", BY_STEP)
def test_a_fit_resumed_within_an_epoch_goes_on_with_its_schedule(
    schedule: Schedule, fit: Callable[..., Trainer], blobs: Callable[..., Any], tmp_path: Path
) -> None:
    class Saves(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            if trainer.global_step == 13:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    system = MLPClassifier((4,), 3, hidden_dims=(8,), lr=LR, optim={"schedule": schedule})
    fit(system, blobs(), callbacks=[Saves()], max_epochs=2)
    _, seen = trained(fit, blobs(), {"schedule": schedule}, tmp_path / "a.ckpt", max_epochs=2)
    assert [step for step, _, _ in seen] == list(range(13, 20))
    for step, lr, momentum in seen:
        assert (lr, momentum) == pytest.approx(closed_form(step, 20, schedule), abs=1e-9)


def test_states_of_torchs_schedules_in_earlier_checkpoints_are_understood() -> None:
    def optimizer() -> Optimizer:
        return SGD([nn.Parameter(torch.zeros(1))], lr=LR, momentum=0.9)

    before: dict[Schedule, LRScheduler] = {
        "cosine": LambdaLR(optimizer(), lambda step: 1.0),
        "one_cycle": OneCycleLR(optimizer(), max_lr=LR, total_steps=21),
    }
    for schedule, scheduler in before.items():
        for _ in range(8):
            scheduler.optimizer.step()
            scheduler.step()
        built = build({"schedule": schedule}, total_steps=20)
        built["scheduler"].load_state_dict(scheduler.state_dict())
        assert built["optimizer"].param_groups[0]["lr"] == pytest.approx(closed_form(8, 20, schedule)[0])
    with pytest.raises(ZooError, match="planned for 20 steps and cannot be extended, but the run now has 40"):
        build({"schedule": "one_cycle"}, total_steps=40)["scheduler"].load_state_dict(before["one_cycle"].state_dict())


def test_a_command_extends_a_run_by_its_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`zoo fit --resume RUN --trainer.max_epochs 4` goes on at the rate that a run of four epochs has there."""
    seen: list[tuple[int, float]] = []
    apply = ByStep._apply

    def recorded(scheduler: ByStep) -> None:
        apply(scheduler)
        seen.append((scheduler.last_epoch, scheduler.optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(ByStep, "_apply", recorded)
    quick = ["--trainer.max_epochs", "2", "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"]
    plain = ["--model.optim.schedule", "cosine", "--model.optim.warmup_steps", "0", "--model.lr", "0.01"]
    assert main(["fit", "-c", "mlp_digits", *quick, *plain, "--run_dir", str(tmp_path / "run")]) == 0
    seen.clear()
    assert main(["fit", "--resume", str(tmp_path / "run"), "--trainer.max_epochs", "4"]) == 0
    assert [step for step, _ in seen[1:]] == list(range(40, 81))  # built at 0, restored at 40, then one for each step
    for step, lr in seen[1:]:
        assert lr == pytest.approx(0.01 * learning_rate_factor(step, 80, "cosine"), abs=1e-9)
