"""Settings of optimizers and learning-rate schedules. Only this file builds them for systems."""

import math
import sys
import warnings
from collections.abc import Mapping
from typing import TypedDict, get_args

from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zoo.errors import ZooError, check_choice
from zoo.training.optimizers import OPTIMIZERS, build_optimizer, resolve_settings
from zoo.training.schedules import ByStep, Schedule, cycled_momentum, learning_rate_factor

_SCHEDULE_SETTINGS: dict[str, tuple[str, ...]] = {  # the settings that each schedule reads
    "constant": ("warmup_steps",),
    "linear": ("warmup_steps", "final", "hold"),
    "step": ("warmup_steps", "step_every", "factor"),
    "cosine": ("warmup_steps", "final"),
    "one_cycle": ("final",),
    "plateau": ("factor", "patience"),
}


class Optim(TypedDict, total=False):
    """Optimizer settings except the learning rate, which is the system's argument `lr`. Comments end with the default."""

    name: str  # one of OPTIMIZERS in zoo/training/optimizers.py, which states the defaults of momentum to eps; adamw
    weight_decay: float  # not on norms, biases and parameters that the network exempts; 0
    momentum: float  # for momentum, nesterov and rmsprop, among others; 0 for sgd and rmsprop, 0.9 for momentum and nesterov
    nesterov: bool  # for SGD and its variants; true for nesterov
    alpha: float  # for RMSprop: decay of the mean squared gradient; 0.99 for rmsprop
    betas: list[float]  # for Adam and its variants; [0.9, 0.999] for adam and adamw
    eps: float  # 1e-8 for adam, adamw and rmsprop
    schedule: Schedule  # cosine
    warmup_steps: int  # linear warm-up before constant, linear, step and cosine; 0
    final: float  # learning rate at the end of linear, cosine and one_cycle, as a share of lr; 0
    hold: float  # linear: share of the steps after the warm-up before the rate falls, in [0, 1); 0.5
    step_every: int  # step: optimizer steps between two decays; a third of all steps
    factor: float  # step and plateau: each decay multiplies the learning rate by this; 0.1
    patience: int  # plateau: validations without improvement before a decay; 5


class _Settings(TypedDict):
    """`Optim` with its defaults filled in."""

    name: str
    schedule: Schedule
    warmup_steps: int
    final: float
    hold: float
    step_every: int | None
    factor: float
    patience: int


def check_optim(optim: Optim | None) -> Optim:
    """Check optimizer settings and return them unchanged. Systems call this in their constructors.

    Raises:
        ZooError: if a setting is invalid. The message names the setting, its value and what is allowed.
    """
    optim = optim or Optim()
    if unknown := set(optim) - set(Optim.__annotations__):
        raise ZooError(f"optim has no {sorted(unknown)[0]!r}: choose from {', '.join(Optim.__annotations__)}")
    settings = _with_defaults(optim)
    check_choice("schedule", settings["schedule"], get_args(Schedule))
    resolve_settings(settings["name"], optim)
    read = _SCHEDULE_SETTINGS[settings["schedule"]]
    for name in ("warmup_steps", "final", "hold", "step_every", "factor", "patience"):
        if optim.get(name) and name not in read:
            fitting = ", ".join(other for other, names in _SCHEDULE_SETTINGS.items() if name in names)
            raise ZooError(
                f"optim.{name} has no effect with schedule {settings['schedule']!r}, only with {fitting}: "
                "remove it or set it to 0"
            )
    for name in ("warmup_steps", "final", "weight_decay"):
        if not 0 <= optim.get(name, 0) < math.inf:  # type: ignore[operator]  # mypy takes a variable key's value for an object
            raise ZooError(f"optim.{name} must be 0 or more, got {optim[name]}")  # type: ignore[literal-required]
    if not 0 <= settings["hold"] < 1:
        raise ZooError(f"optim.hold must lie in [0, 1), got {settings['hold']}")
    if "step_every" in read and (step_every := settings["step_every"]) is not None and step_every < 1:
        raise ZooError(f"optim.step_every must be at least 1, got {step_every}")
    if "factor" in read and not 0 < settings["factor"] < 1:
        raise ZooError(f"optim.factor must lie between 0 and 1, got {settings['factor']}")
    return optim


def merge_optim(own: Optim, optim: Optim | None) -> Optim:
    """Merge a user's settings `optim` into a class's own. If the user names another optimizer, only the schedule is kept."""
    optim = optim or Optim()
    same = optim.get("name", own["name"]) == own["name"]
    return {**own, **optim} if same else {"schedule": own["schedule"], **optim}


def configure(
    system: LightningModule,
    lr: float,
    optim: Optim,
    total_steps: int,
    monitor: str,
    part: nn.Module | None = None,
    rates: Mapping[str, float] | None = None,
) -> OptimizerLRScheduler:
    """Build the optimizer and schedule of a system, or of a `part` of it, in the form that `configure_optimizers` returns.

    Schedules advance once per optimizer step, except plateau, which advances once per validation on the metric `monitor`.
    `total_steps` counts optimizer steps. `rates` are the learning rates of parameters as shares of `lr`, by their names.
    Without them, all have `lr`.
    """
    settings = _with_defaults(optim)
    optimizer = build_optimizer(
        settings["name"],
        part or system,
        lr,
        weight_decay=optim.get("weight_decay", 0.0),
        settings=resolve_settings(settings["name"], optim),
        fused=OPTIMIZERS[settings["name"]].fused and _can_fuse(system),
        rates=rates,
    )
    if settings["schedule"] == "plateau":
        plateau = ReduceLROnPlateau(
            optimizer, factor=settings["factor"], patience=settings["patience"], threshold=1e-4, threshold_mode="rel"
        )
        # PlateauStep steps this schedule. Lightning must not step it, because it would ask for the metric after epochs without
        # a validation.
        never = sys.maxsize
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "frequency": never, "monitor": monitor}}
    schedule = _schedule(optimizer, lr, settings, total_steps, keep_momentum="momentum" in optim or "betas" in optim)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _can_fuse(system: LightningModule) -> bool:
    """Return whether a fused optimizer can be used. It saves a third of a small MLP's training step on a CPU.

    It cannot be used in fp16, because it unscales gradients itself, after Lightning has clipped them. In bf16 nothing is
    scaled, but Lightning still refuses to clip gradients of fused optimizers. It cannot be used on sharded parameters, because
    some fused kernels do not support them (aten._fused_sgd_ has no sharding strategy in torch 2.14).
    """
    if any(isinstance(parameter, DTensor) for parameter in system.parameters()):
        return False
    if system._trainer is None:
        return True
    precision, clips = system.trainer.precision, bool(system.trainer.gradient_clip_val)
    return precision != "16-mixed" and not (precision == "bf16-mixed" and clips)


def _schedule(optimizer: Optimizer, lr: float, settings: _Settings, total_steps: int, keep_momentum: bool) -> ByStep:
    """Build a schedule by step. one_cycle also cycles the momentum or beta 1, unless the user has set it."""
    warmup_steps, one_cycle = settings["warmup_steps"], settings["schedule"] == "one_cycle"
    if warmup_steps > total_steps:
        warnings.warn(
            f"warm-up of {warmup_steps} steps outlasts the training of {total_steps}: lr never reaches {lr}",
            stacklevel=2,
        )
    has_momentum = bool(optimizer.defaults.get("momentum") or "betas" in optimizer.defaults)
    cycles = one_cycle and has_momentum and not keep_momentum
    return ByStep(
        optimizer,
        lambda step: learning_rate_factor(
            step,
            total_steps,
            settings["schedule"],
            warmup_steps=warmup_steps,
            final=settings["final"],
            hold=settings["hold"],
            step_every=settings["step_every"],
            factor=settings["factor"],
        ),
        momentum=(lambda step: cycled_momentum(step, total_steps)) if cycles else None,
        total_steps=total_steps,
        extends=not one_cycle,
    )


def _with_defaults(optim: Optim) -> _Settings:
    return _Settings(
        name=optim.get("name", "adamw"),
        schedule=optim.get("schedule", "cosine"),
        warmup_steps=optim.get("warmup_steps", 0),
        final=optim.get("final", 0.0),
        hold=optim.get("hold", 0.5),
        step_every=optim.get("step_every"),
        factor=optim.get("factor", 0.1),
        patience=optim.get("patience", 5),
    )
