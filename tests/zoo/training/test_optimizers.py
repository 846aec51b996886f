"""Every optimizer is built with the settings that the table states, and decays only what should decay."""

import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import zoo
from zoo.cli.names import recipe_paths
from zoo.cli.settings import read_settings
from zoo.gans.wgan import WGAN
from zoo.training.optimizers import OPTIMIZERS, build_optimizer, parameter_groups, resolve_settings

# arguments of constructors that choose how an update is computed, but do not change it
HOW = {"self", "params", "lr", "weight_decay", "foreach", "fused", "maximize", "capturable", "differentiable", "verbose"}
# Figures of the papers, or of the authors' code: Robbins & Monro 1951; Arjovsky et al. 2017; Kingma & Ba 2015; Loshchilov &
# Hutter 2019; He et al. 2016 with Nesterov's momentum.
STATED: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False},
    "momentum": {"momentum": 0.9, "dampening": 0.0, "nesterov": False},
    "nesterov": {"momentum": 0.9, "dampening": 0.0, "nesterov": True},
    "rmsprop": {"momentum": 0.0, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "decoupled_weight_decay": False},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "decoupled_weight_decay": True},
}


def build(name: str, network: nn.Module, weight_decay: float = 0.0, **given: Any) -> torch.optim.Optimizer:
    return build_optimizer(name, network, 1e-3, weight_decay, resolve_settings(name, given), fused=False)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_built_with_the_settings_of_the_table(name: str) -> None:
    """No argument is left to the library: the table states all that the constructor has."""
    network = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    optimizer, settings = build(name, network), OPTIMIZERS[name].defaults
    kind = pkgutil.resolve_name(OPTIMIZERS[name].path)
    assert type(optimizer) is kind
    assert set(settings) == set(inspect.signature(kind).parameters) - HOW
    assert {key: optimizer.defaults[key] for key in settings if key in optimizer.defaults} == {
        key: value for key, value in settings.items() if key in optimizer.defaults
    }
    assert {key: optimizer.defaults[key] for key in STATED.get(name, {})} == STATED.get(name, {})
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for _ in range(2):  # ADOPT updates nothing in its first step
        optimizer.zero_grad()
        network(torch.randn(16, 4)).square().sum().backward()
        optimizer.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert not torch.equal(old, new)
        assert torch.isfinite(new).all()


def test_all_optimizers_of_recipes_and_classes_are_stated() -> None:
    models = [read_settings(path).get("model", {}).get("init_args", {}) for path in recipe_paths().values()]
    named = {(model.get("optim") or {}).get("name", "adamw") for model in models}
    assert {"adam", "adamw", "nesterov", "rmsprop"} <= named <= set(STATED)


def test_wgan_has_no_momentum() -> None:
    system = WGAN((1, 8, 8), widths=(4, 8))
    optimizer = build(system.optim["name"], system.discriminator)
    assert (optimizer.defaults["momentum"], optimizer.defaults["alpha"]) == (0.0, 0.99)


@pytest.mark.parametrize(
    ("name", "exempt"),
    [
        ("vit_tiny_patch16_224", {"pos_embed", "cls_token"}),
        ("swinv2_tiny_window8_256", {"layers.0.blocks.0.attn.logit_scale", "layers.0.blocks.0.attn.cpb_mlp.0.weight"}),
    ],
)
def test_weights_that_a_network_exempts_do_not_decay(name: str, exempt: set[str]) -> None:
    with torch.device("meta"):
        system = nn.ModuleDict({"net": timm.create_model(name)})  # a system asks its network, not itself
    kept, decayed = parameter_groups(system, 0.1)
    names = {id(parameter): key.removeprefix("net.") for key, parameter in system.named_parameters()}
    assert (kept["weight_decay"], decayed["weight_decay"]) == (0.0, 0.1)
    assert exempt <= {names[id(parameter)] for parameter in kept["params"]}
    rest = {names[id(parameter)] for parameter in decayed["params"]}
    assert all(key.endswith("weight") and "norm" not in key for key in rest)
    assert rest


def test_no_run_imports_timm_before_it_needs_it() -> None:
    """It takes 0.6 s to import, which every command would pay."""
    rooms = [
        Path(zoo.__file__).parent / room for room in ("nn", "metrics", "training", "tasks", "mlp", "rnn", "autoencoders", "cli")
    ]
    files = [path for room in rooms for path in room.rglob("*.py")]
    assert len(files) > 50
    assert [
        path.name for path in files if re.search(r"^(import|from) timm", path.read_text(encoding="utf-8"), re.MULTILINE)
    ] == []
