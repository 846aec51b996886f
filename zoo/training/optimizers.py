"""Optimizers by name, with all their settings, so that no result depends on a library's defaults."""

import difflib
import math
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer

from zoo.errors import ZooError


class Method(NamedTuple):
    """A class of optimizers, and the constructor arguments that determine an update, except lr and weight_decay."""

    path: str  # module:class, imported when it is needed, because timm is slow to import
    defaults: dict[str, Any]
    fused: bool = False  # whether one kernel can update all parameters


SETTINGS = ("momentum", "nesterov", "alpha", "betas", "eps")  # what users can change; other arguments are fixed
_SGD = {"momentum": 0.0, "dampening": 0.0, "nesterov": False}
_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
_TIMM = {"caution": False, "corrected_weight_decay": False}
_TRUST = {"trust_clip": False, "always_adapt": False}
_FACTORED = {"eps": 1e-30, "eps_scale": 1e-3, "clip_threshold": 1.0, "min_dim_size_to_factor": 16}
_SPECTRAL = {"algo": "muon", "ns_steps": 5, "ns_coefficients": "quintic", "adjust_lr_fn": "match_rms_adamw"}
_MAPS = {"conv_mode": "flatten", "normalize_spatial": True, "safety_factor": 1.0, "scale_eps": False}
OPTIMIZERS: dict[str, Method] = {
    "sgd": Method("torch.optim:SGD", _SGD, fused=True),
    "momentum": Method("torch.optim:SGD", {**_SGD, "momentum": 0.9}, fused=True),
    "nesterov": Method("torch.optim:SGD", {**_SGD, "momentum": 0.9, "nesterov": True}, fused=True),
    "rmsprop": Method("torch.optim:RMSprop", {"momentum": 0.0, "alpha": 0.99, "eps": 1e-8, "centered": False}),
    "adagrad": Method("torch.optim:Adagrad", {"eps": 1e-10, "lr_decay": 0.0, "initial_accumulator_value": 0.0}, fused=True),
    "adadelta": Method("torch.optim:Adadelta", {"rho": 0.9, "eps": 1e-6}),
    "adam": Method("torch.optim:Adam", {**_ADAM, "amsgrad": False, "decoupled_weight_decay": False}, fused=True),
    "adamw": Method("torch.optim:AdamW", {**_ADAM, "amsgrad": False}, fused=True),
    "adamax": Method("torch.optim:Adamax", _ADAM),
    "nadam": Method("torch.optim:NAdam", {**_ADAM, "momentum_decay": 4e-3, "decoupled_weight_decay": False}),
    "radam": Method("torch.optim:RAdam", {**_ADAM, "decoupled_weight_decay": False}),
    "sgdw": Method("timm.optim:SGDW", {**_SGD, **_TIMM, "momentum": 0.9}),
    "nadamw": Method("timm.optim:NAdamW", {**_ADAM, **_TIMM, "clipping_threshold": None}),
    "adan": Method("timm.optim:Adan", {"betas": (0.98, 0.92, 0.99), "eps": 1e-8, "no_prox": False, "caution": False}),
    "lion": Method("timm.optim:Lion", {"betas": (0.9, 0.99), **_TIMM}),
    "laprop": Method("timm.optim:LaProp", {"betas": (0.9, 0.999), "eps": 1e-15, **_TIMM}),
    "adopt": Method("timm.optim:Adopt", {"betas": (0.9, 0.9999), "eps": 1e-6, "clip_exp": 0.333, "decoupled": False, **_TIMM}),
    "madgrad": Method("timm.optim:MADGRAD", {"momentum": 0.9, "eps": 1e-6, "decoupled_decay": False}),
    "rmsproptf": Method(
        "timm.optim:RMSpropTF",
        dict(momentum=0.9, alpha=0.9, eps=1e-10, centered=False, decoupled_decay=False, lr_in_momentum=True, **_TIMM),
    ),
    "adabelief": Method(
        "timm.optim:AdaBelief",
        dict(_ADAM, eps=1e-16, amsgrad=False, decoupled_decay=True, fixed_decay=False, rectify=False, degenerated_to_sgd=True),
    ),
    "lamb": Method(
        "timm.optim:Lamb",
        dict(
            _ADAM,
            eps=1e-6,
            bias_correction=True,
            grad_averaging=True,
            max_grad_norm=1.0,
            decoupled_decay=False,
            **_TRUST,
            **_TIMM,
        ),
    ),
    "lars": Method("timm.optim:Lars", dict(_SGD, momentum=0.9, eps=1e-8, trust_coeff=1e-3, **_TRUST)),
    "novograd": Method(
        "timm.optim:NvNovoGrad",
        dict(
            _ADAM, betas=(0.95, 0.98), grad_averaging=False, amsgrad=False, decoupled_decay=False, corrected_weight_decay=False
        ),
    ),
    "adafactor": Method(
        "timm.optim:Adafactor",
        dict(_FACTORED, betas=None, decay_rate=-0.8, scale_parameter=True, warmup_init=False, caution=False),
    ),
    "muon": Method(
        "timm.optim:Muon",
        dict(
            _MAPS, **_SPECTRAL, momentum=0.95, nesterov=True, eps=1e-7, betas=(0.9, 0.95), adamw_lr=None, fallback_lr_scale=1.0
        ),
    ),
}


@runtime_checkable
class ExemptsWeights(Protocol):
    """A network that names those of its parameters that must not decay, as timm's networks do."""

    def no_weight_decay(self) -> Iterable[str]:
        """Return the names of these parameters, as in `named_parameters`."""


def resolve_settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments of the optimizer `name`: its defaults, overridden by the SETTINGS in `given`.

    Raises:
        ZooError: if the optimizer is unknown or does not have a setting, or if a value is out of range.
    """
    if name not in OPTIMIZERS:
        near = difflib.get_close_matches(name, OPTIMIZERS, n=3)
        raise ZooError(f"unknown optimizer {name!r}: choose {', '.join(near or OPTIMIZERS)}")
    defaults = OPTIMIZERS[name].defaults
    changed = {key: given[key] for key in SETTINGS if key in given}
    for key in changed:
        if defaults.get(key) is None:
            raise ZooError(f"optimizer {name!r} has no {key}: leave optim.{key} out, or choose another")
    for key in ("momentum", "alpha"):
        if key in changed and not 0 <= changed[key] < 1:
            raise ZooError(f"optim.{key} must lie in [0, 1), got {changed[key]}")
    if "betas" in changed:
        changed["betas"] = betas = tuple(changed["betas"])
        if len(betas) != (num := len(defaults["betas"])) or not all(0 <= beta < 1 for beta in betas):
            raise ZooError(f"optim.betas must be {num} numbers in [0, 1) for {name!r}, got {list(betas)}")
    if "eps" in changed and not 0 <= changed["eps"] < math.inf:
        raise ZooError(f"optim.eps must be 0 or more, got {changed['eps']}")
    settings = {**defaults, **changed}
    if settings.get("nesterov") and not settings["momentum"] > 0:
        raise ZooError(
            f"Nesterov's momentum must be above 0, got {settings['momentum']}: "
            "set optim.momentum, or set optim.name to sgd and optim.nesterov to false"
        )
    return settings


def build_optimizer(
    name: str,
    network: nn.Module,
    lr: float,
    weight_decay: float,
    settings: Mapping[str, Any],
    fused: bool,
    rates: Mapping[str, float] | None = None,
) -> Optimizer:
    """Build an optimizer of a network's parameters, with the arguments that `resolve_settings` returned.

    `rates` are the learning rates of parameters as shares of `lr`, by their names; without them, all have `lr`.
    """
    groups = parameter_groups(network, weight_decay)
    if rates is not None:
        groups = _split_by_rate(network, groups, lr, rates)
    arguments = {**settings, "fused": True} if fused else settings
    optimizer: Optimizer = pkgutil.resolve_name(OPTIMIZERS[name].path)(groups, lr=lr, weight_decay=0.0, **arguments)
    return optimizer


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split a network's trainable parameters into a group that does not decay and a group that does.

    Three kinds of parameters do not decay: biases, those with fewer than two dimensions (such as the weights of norms), and
    those that the network or one of its modules exempts (`ExemptsWeights`).
    """
    exempt = {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in network.named_modules()
        if isinstance(part, ExemptsWeights)
        for name in part.no_weight_decay()
    }
    kept: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            skips = parameter.ndim <= 1 or name.endswith(".bias") or name in exempt
            (kept if skips else decayed).append(parameter)
    return [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": weight_decay}]


def _split_by_rate(
    network: nn.Module, groups: list[dict[str, Any]], lr: float, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Split groups of parameters by their learning rates. Groups are ordered by rate, empty ones are left out."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    split = []
    for rate in sorted(set(rates.values())):
        for group in groups:
            chosen = [parameter for parameter in group["params"] if rates[names[parameter]] == rate]
            if chosen:
                split.append({**group, "params": chosen, "lr": lr * rate})
    return split
