"""Optimizers and schedules for every system: the one place that builds them."""

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

Schedule = Literal["constant", "step", "cosine", "one_cycle", "plateau"]


_OF_SCHEDULE: dict[str, tuple[str, ...]] = {  # which settings each schedule reads
    "constant": ("warmup_steps",),
    "step": ("warmup_steps", "step_every", "factor"),
    "cosine": ("warmup_steps", "final"),
    "one_cycle": ("final",),
    "plateau": ("factor", "patience"),
}


class Optim(TypedDict, total=False):
    """Everything about the optimizer but its learning rate, which systems keep as `lr`."""

    name: str  # any timm optimizer; adamw
    weight_decay: float  # not applied to norms and biases; 0
    momentum: float  # of SGD and its kin; 0.9
    betas: list[float]  # of Adam and its kin
    eps: float
    schedule: Schedule  # cosine
    warmup_steps: int  # linear, before constant, step and cosine; 0
    final: float  # where cosine and one_cycle end, as a share of lr; 0
    step_every: int  # step: optimizer steps between two drops; a third of the training
    factor: float  # step and plateau: what a drop multiplies the rate by; 0.1
    patience: int  # plateau: validations without progress before a drop; 5


class _Settings(TypedDict):
    """`Optim` with its defaults filled in."""

    name: str
    schedule: Schedule
    warmup_steps: int
    final: float
    step_every: int | None
    factor: float
    patience: int


def check(optim: Optim | None) -> Optim:
    """Refuse what cannot be built, when the system is built; returns the settings as given.

    Raises:
        ZooError: naming the setting, its value and what is allowed.
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
            f"{settings['name']!r} needs gradients of gradients, which a training step here does not build: choose another"
        )
    for name, has in (("momentum", info.has_momentum), ("betas", info.has_betas), ("eps", info.has_eps)):
        if name in optim and not has:  # timm would drop it in silence
            raise ZooError(f"optimizer {settings['name']!r} has no {name}: leave optim.{name} out, or choose another")
    read = _OF_SCHEDULE[settings["schedule"]]
    for name in ("warmup_steps", "final", "step_every", "factor", "patience"):
        if optim.get(name) and name not in read:
            fitting = ", ".join(other for other, names in _OF_SCHEDULE.items() if name in names)
            raise ZooError(f"optim.{name} goes with the schedules {fitting}, not with {settings['schedule']!r}: 0 takes it out")
    for name in ("warmup_steps", "final", "weight_decay"):
        if optim.get(name, 0) < 0:  # type: ignore[operator]  # a TypedDict's value by a variable name is an object
            raise ZooError(f"optim.{name} must be 0 or more, got {optim[name]}")  # type: ignore[literal-required]
    if "step_every" in read and (step_every := settings["step_every"]) is not None and step_every < 1:
        raise ZooError(f"optim.step_every must be at least 1, got {step_every}")
    if "factor" in read and not 0 < settings["factor"] < 1:
        raise ZooError(f"optim.factor must lie between 0 and 1, got {settings['factor']}")
    if "betas" in optim and len(optim["betas"]) != info.num_betas:
        raise ZooError(f"optim.betas must be {info.num_betas} numbers for {settings['name']!r}, got {optim['betas']}")
    _try(optim)
    return optim


def _try(optim: Optim) -> None:
    """Build the optimizer for a made-up weight, so that it refuses its settings before anything is trained.

    Raises:
        ZooError: if timm or torch does not accept them, or a package or a GPU that the optimizer needs is missing.
    """
    weight = nn.Parameter(torch.zeros(2, 2))
    try:
        with warnings.catch_warnings():  # a warning is due when the real optimizer is built
            warnings.simplefilter("ignore")
            create_optimizer_v2([weight], lr=1e-3, **_arguments(optim))
    except Exception as error:  # timm asserts that there is a GPU, torch raises ValueError, other authors something else
        name, said = _with_defaults(optim)["name"], " ".join(str(error).split()) or type(error).__name__
        raise ZooError(f"optimizer {name!r} does not accept these settings of optim: {said}") from error


def learning_rate_factor(
    step: int,
    total_steps: int,
    schedule: Schedule,
    warmup_steps: int = 0,
    final: float = 0.0,
    step_every: int | None = None,
    factor: float = 0.1,
) -> float:
    """Multiple of the base rate at an optimizer step, counted from 0; past `total_steps` it stays where it ended.

    Linear warm-up to 1 over `warmup_steps`; then constant; or a drop by `factor` every `step_every` steps (counted from the
    first); or half a cosine from 1 to `final` (Loshchilov & Hutter, 2017, arXiv:1608.03983).
    """
    step = min(step, total_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    match schedule:
        case "constant":
            return 1.0
        case "step":
            return factor ** (step // (step_every or max(1, math.ceil(total_steps / 3))))
        case "cosine":
            progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
        case _:
            raise ZooError(f"{schedule!r} is no function of the step alone")


def configure(
    system: LightningModule, lr: float, optim: Optim, total_steps: int, monitor: str, part: nn.Module | None = None
) -> OptimizerLRScheduler:
    """Build the optimizer of a system, or of a part of it, and its schedule as `configure_optimizers` returns them.

    Schedules advance per optimizer step; plateau per validation, on `monitor`'s loss. `total_steps` counts optimizer steps.
    """
    settings = _with_defaults(optim)
    fused: dict[str, Any] = {"fused": True} if _can_fuse(system, settings["name"]) else {}
    optimizer = create_optimizer_v2(part or system, lr=lr, **_arguments(optim), **fused)
    if settings["schedule"] == "plateau":
        plateau = ReduceLROnPlateau(optimizer, factor=settings["factor"], patience=settings["patience"])
        never = sys.maxsize  # PlateauStep steps it: Lightning would ask for the monitor after an epoch without a validation
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "frequency": never, "monitor": monitor}}
    schedule = _schedule(optimizer, lr, settings, total_steps, keep_momentum="momentum" in optim or "betas" in optim)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _arguments(optim: Optim) -> dict[str, Any]:
    """What timm's factory takes of the settings."""
    name = _with_defaults(optim)["name"]
    arguments: dict[str, Any] = {"opt": name, "weight_decay": optim.get("weight_decay", 0.0)}
    arguments |= {key: optim[key] for key in ("momentum", "betas", "eps") if key in optim}
    if optim.get("momentum") == 0 and (get_optimizer_info(name).defaults or {}).get("nesterov"):
        arguments["nesterov"] = False  # there is nothing to look ahead along, and torch refuses it
    return arguments


def _can_fuse(system: LightningModule, name: str) -> bool:
    """Whether one kernel may update all parameters: a third of a small MLP's step on a CPU.

    Not in fp16, where a fused optimizer unscales the gradients itself, after Lightning would have clipped them (in bf16
    nothing is scaled, but Lightning refuses to clip all the same); and not on sharded parameters, which not every fused
    kernel knows (aten._fused_sgd_ has no sharding strategy in torch 2.14).
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
    if settings["schedule"] == "one_cycle":  # Smith & Topin, 2018, arXiv:1708.07120; it moves momentum, or beta 1, too
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
            f"warm-up of {warmup_steps} steps outlasts the training of {total_steps}: lr never reaches {lr}", stacklevel=2
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
