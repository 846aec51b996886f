"""Optimizers and learning-rate schedules of all systems. Only this file builds them."""

import difflib
import inspect
import math
import sys
import warnings
from typing import Any, Literal, TypedDict, get_args

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

from zoo.errors import ZooError, check_choice

Schedule = Literal["constant", "linear", "step", "cosine", "one_cycle", "plateau"]

_SCHEDULE_SETTINGS: dict[str, tuple[str, ...]] = {  # the settings that each schedule reads
    "constant": ("warmup_steps",),
    "linear": ("warmup_steps", "final"),
    "step": ("warmup_steps", "step_every", "factor"),
    "cosine": ("warmup_steps", "final"),
    "one_cycle": ("final",),
    "plateau": ("factor", "patience"),
}


class Optim(TypedDict, total=False):
    """Optimizer settings except the learning rate, which is the system's argument `lr`. Comments end with the default."""

    name: str  # any optimizer of timm; adamw
    weight_decay: float  # on weights only, not on norms and biases; 0
    momentum: float  # for SGD and its variants; 0.9
    betas: list[float]  # for Adam and its variants; the optimizer's own
    eps: float  # the optimizer's own
    schedule: Schedule  # cosine
    warmup_steps: int  # linear warm-up before constant, linear, step and cosine; 0
    final: float  # learning rate at the end of linear, cosine and one_cycle, as a share of lr; 0
    step_every: int  # step: optimizer steps between two decays; a third of all steps
    factor: float  # step and plateau: each decay multiplies the learning rate by this; 0.1
    patience: int  # plateau: validations without improvement before a decay; 5


class _Settings(TypedDict):
    """`Optim` with its defaults filled in."""

    name: str
    schedule: Schedule
    warmup_steps: int
    final: float
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
    if settings["name"] not in list_optimizers():
        names = [str(name) for name in list_optimizers()]
        near = difflib.get_close_matches(settings["name"], names, n=3)
        raise ZooError(f"unknown optimizer {settings['name']!r}: timm has {', '.join(near or names)}")
    info = get_optimizer_info(settings["name"])
    if info.second_order:
        raise ZooError(
            f"optimizer {settings['name']!r} needs second-order gradients, which training steps do not compute: choose another"
        )
    for name, has in (("momentum", info.has_momentum), ("betas", info.has_betas), ("eps", info.has_eps)):
        if name in optim and not has:  # timm would ignore it silently
            raise ZooError(f"optimizer {settings['name']!r} has no {name}: leave optim.{name} out, or choose another")
    read = _SCHEDULE_SETTINGS[settings["schedule"]]
    for name in ("warmup_steps", "final", "step_every", "factor", "patience"):
        if optim.get(name) and name not in read:
            fitting = ", ".join(other for other, names in _SCHEDULE_SETTINGS.items() if name in names)
            raise ZooError(
                f"optim.{name} has no effect with schedule {settings['schedule']!r}, only with {fitting}: "
                "remove it or set it to 0"
            )
    for name in ("warmup_steps", "final", "weight_decay"):
        if optim.get(name, 0) < 0:  # type: ignore[operator]  # mypy types a TypedDict lookup with a variable key as object
            raise ZooError(f"optim.{name} must be 0 or more, got {optim[name]}")  # type: ignore[literal-required]
    if "step_every" in read and (step_every := settings["step_every"]) is not None and step_every < 1:
        raise ZooError(f"optim.step_every must be at least 1, got {step_every}")
    if "factor" in read and not 0 < settings["factor"] < 1:
        raise ZooError(f"optim.factor must lie between 0 and 1, got {settings['factor']}")
    if "betas" in optim and len(optim["betas"]) != info.num_betas:
        raise ZooError(f"optim.betas must be {info.num_betas} numbers for {settings['name']!r}, got {optim['betas']}")
    _check_builds(optim)
    return optim


def merge_optim(own: Optim, optim: Optim | None) -> Optim:
    """Merge a user's settings `optim` into a class's own. If the user names another optimizer, only the schedule is kept."""
    optim = optim or Optim()
    same = optim.get("name", own["name"]) == own["name"]
    return {**own, **optim} if same else {"schedule": own["schedule"], **optim}


def _check_builds(optim: Optim) -> None:
    """Build the optimizer for a dummy weight, so that invalid settings raise before training starts.

    Raises:
        ZooError: if timm or torch rejects the settings, or a package or a GPU that the optimizer needs is missing.
    """
    weight, arguments = nn.Parameter(torch.zeros(2, 2)), _timm_arguments(optim)
    try:
        with warnings.catch_warnings():  # building the real optimizer repeats any warning
            warnings.simplefilter("ignore")
            create_optimizer_v2([weight], lr=1e-3, **arguments)
    except Exception as error:  # the exception differs between optimizers: AssertionError without a GPU, ValueError in torch
        name, reason = _with_defaults(optim)["name"], " ".join(str(error).split()) or type(error).__name__
        raise ZooError(f"optimizer {name!r} does not accept these settings of optim: {reason}") from error


def learning_rate_factor(
    step: int,
    total_steps: int,
    schedule: Schedule,
    warmup_steps: int = 0,
    final: float = 0.0,
    step_every: int | None = None,
    factor: float = 0.1,
) -> float:
    """Return the factor on the base learning rate at an optimizer step, counted from 0.

    The factor rises linearly to 1 over `warmup_steps`. After that it is constant, or decays by `factor` every `step_every`
    steps (counted from step 0), or follows half a cosine from 1 to `final` (Loshchilov & Hutter, 2017, arXiv:1608.03983). With
    "linear" it is 1 for the first half of the steps after the warm-up and then falls linearly to `final`, as in Pix2Pix and
    CycleGAN. Beyond `total_steps` it keeps its last value.
    """
    step = min(step, total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - (1 - final) * max(0.0, 2 * progress - 1)
        case "step":
            return factor ** (step // (step_every or max(1, math.ceil(total_steps / 3))))
        case "cosine":
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
        case _:
            raise ZooError(f"schedule {schedule!r} is not a function of the step alone")


def configure(
    system: LightningModule, lr: float, optim: Optim, total_steps: int, monitor: str, part: nn.Module | None = None
) -> OptimizerLRScheduler:
    """Build the optimizer and schedule of a system, or of a `part` of it, in the form that `configure_optimizers` returns.

    Schedules advance once per optimizer step, except plateau, which advances once per validation on the metric `monitor`.
    `total_steps` counts optimizer steps.
    """
    settings = _with_defaults(optim)
    fused: dict[str, Any] = {"fused": True} if _can_fuse(system, settings["name"]) else {}
    optimizer = create_optimizer_v2(part or system, lr=lr, **_timm_arguments(optim), **fused)
    if settings["schedule"] == "plateau":
        plateau = ReduceLROnPlateau(optimizer, factor=settings["factor"], patience=settings["patience"])
        # PlateauStep steps this schedule. Lightning must not step it, because it would ask for the metric after epochs without
        # a validation.
        never = sys.maxsize
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "frequency": never, "monitor": monitor}}
    schedule = _schedule(optimizer, lr, settings, total_steps, keep_momentum="momentum" in optim or "betas" in optim)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _timm_arguments(optim: Optim) -> dict[str, Any]:
    """Return the arguments for timm's factory."""
    name = _with_defaults(optim)["name"]
    arguments: dict[str, Any] = {"opt": name, "weight_decay": optim.get("weight_decay", 0.0)}
    arguments |= {key: optim[key] for key in ("momentum", "betas", "eps") if key in optim}
    if optim.get("momentum") == 0 and (get_optimizer_info(name).defaults or {}).get("nesterov"):
        arguments["nesterov"] = False  # torch refuses Nesterov momentum of 0
    return arguments


def _can_fuse(system: LightningModule, name: str) -> bool:
    """Return whether a fused optimizer can be used. It saves a third of a small MLP's training step on a CPU.

    It cannot be used in fp16, because it unscales gradients itself, after Lightning has clipped them. In bf16 nothing is
    scaled, but Lightning still refuses to clip gradients of fused optimizers. It cannot be used on sharded parameters, because
    some fused kernels do not support them (aten._fused_sgd_ has no sharding strategy in torch 2.14).
    """
    if "fused" not in inspect.signature(get_optimizer_class(name, bind_defaults=False)).parameters:
        return False
    if any(isinstance(parameter, DTensor) for parameter in system.parameters()):
        return False
    if system._trainer is None:
        return True
    precision, clips = system.trainer.precision, bool(system.trainer.gradient_clip_val)
    return precision != "16-mixed" and not (precision == "bf16-mixed" and clips)


def _schedule(
    optimizer: Optimizer, lr: float, settings: _Settings, total_steps: int, keep_momentum: bool
) -> LambdaLR | OneCycleLR:
    if settings["schedule"] == "one_cycle":  # Smith & Topin, 2018, arXiv:1708.07120; it also cycles momentum or beta 1
        start, final = 25.0, settings["final"] or 1e-5
        return OneCycleLR(
            optimizer,
            max_lr=lr,
            total_steps=total_steps + 1,
            div_factor=start,
            final_div_factor=1 / (final * start),
            cycle_momentum=not keep_momentum and not optimizer.defaults.keys().isdisjoint({"momentum", "betas"}),
        )
    warmup_steps = settings["warmup_steps"]
    if warmup_steps > total_steps:
        warnings.warn(
            f"warm-up of {warmup_steps} steps outlasts the training of {total_steps}: lr never reaches {lr}",
            stacklevel=2,
        )
    return LambdaLR(
        optimizer,
        lambda step: learning_rate_factor(
            step,
            total_steps,
            settings["schedule"],
            warmup_steps=warmup_steps,
            final=settings["final"],
            step_every=settings["step_every"],
            factor=settings["factor"],
        ),
    )


def _with_defaults(optim: Optim) -> _Settings:
    return _Settings(
        name=optim.get("name", "adamw"),
        schedule=optim.get("schedule", "cosine"),
        warmup_steps=optim.get("warmup_steps", 0),
        final=optim.get("final", 0.0),
        step_every=optim.get("step_every"),
        factor=optim.get("factor", 0.1),
        patience=optim.get("patience", 5),
    )
