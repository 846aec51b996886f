"""Deprecated arguments, translated where checkpoints and configurations are read. Kept for one version.

`game` was one dictionary with the settings of every GAN. Its entries are arguments of the classes now.
"""

import sys
from typing import Any

from zoo.errors import ZooError

_EVERY_GAN = {"n_critic", "accumulate", "d_lr", "ema", "clip"}
_OWN = {  # the other entries that became arguments, by class
    "GAN": {"loss"},
    "DCGAN": {"redraw"},
    "WGAN": {"weight_clip"},
    "WGANGP": {"penalty_weight"},
    "SNGAN": set[str](),
    "ConditionalGAN": {"loss"},
    "MinibatchGAN": {"redraw"},
    "UnrolledGAN": set[str](),
    "ProgressiveGAN": {"loss", "penalty", "penalty_weight", "penalty_every"},
    "StyleGAN": {"penalty_weight", "penalty_every"},
    "Pix2Pix": set[str](),
    "CycleGAN": set[str](),
}
_USUAL = {"loss": "non_saturating", "redraw": True, "weight_clip": None, "penalty": None, "penalty_every": 1}
_FIXED: dict[str, dict[str, Any]] = {  # the values of entries that a class cannot change any more, where they differ
    "WGAN": {"loss": "wasserstein"},
    "WGANGP": {"loss": "wasserstein", "penalty": "gradient"},
    "SNGAN": {"loss": "hinge"},
    "StyleGAN": {"penalty": "r1"},
    "CycleGAN": {"loss": "least_squares"},
}
_SNGAN_LR = 1e-4  # the default


def migrate_game(class_path: str, arguments: dict[str, Any], strict: bool = True) -> dict[str, Any]:
    """Replace a GAN's argument `game` by the arguments that have taken its place; the training is the same, to the bit.

    Args:
        class_path: the public name of the class; classes outside the zoo keep their arguments.
        arguments: arguments of its constructor.
        strict: whether to raise for settings that the class no longer has; else print a note. They do not affect a trained
            network, so a checkpoint can be used without them, but not trained further as before.

    Raises:
        ZooError: if `strict`, naming such a setting.
    """
    package, _, name = class_path.rpartition(".")
    if package != "zoo" or name not in _OWN or "game" not in arguments:
        return arguments
    migrated = {key: value for key, value in arguments.items() if key != "game"}
    fixed = {**_USUAL, **_FIXED.get(name, {})}
    game = arguments["game"] or {}
    off = "penalty" in game and game["penalty"] is None and "penalty_weight" in _OWN[name]
    for key, value in game.items():
        if name == "SNGAN" and key == "d_lr" and value is None:  # meant the generator's rate, and means four times it now
            migrated["d_lr"] = arguments.get("lr", _SNGAN_LR)
        elif key == "penalty" and off:
            migrated["penalty_weight"] = 0.0
        elif key in _EVERY_GAN | _OWN[name] and not (key == "penalty_weight" and off):
            migrated[key] = value
        elif key == "penalty_weight" or (key in fixed and value == fixed[key]):
            continue  # the weight of a penalty that was off, or the only value that the class has
        elif strict:
            raise ZooError(f"{class_path} no longer has game.{key} {value!r}: {_advice(key)}")
        else:
            print(
                f"{class_path} was trained with game.{key} {value!r}, which it no longer has: {_advice(key)}", file=sys.stderr
            )
    return migrated


def migrate_settings(settings: dict[str, Any], source: str | None) -> dict[str, Any]:
    """Migrate the model of a configuration that was written for an earlier version.

    Args:
        settings: what the configuration sets.
        source: its file, for a printed note; None prints nothing.

    Raises:
        ZooError: naming a setting that the model no longer has.
    """
    model = settings.get("model")
    if not isinstance(model, dict) or "game" not in (model.get("init_args") or {}):
        return settings
    migrated = migrate_game(str(model.get("class_path", "")), model["init_args"])
    if "game" not in migrated and source is not None:
        instead = ", ".join(f"{key}: {value}" for key, value in migrated.items() if key not in model["init_args"])
        print(f"{source}: model.game is deprecated, write its settings as arguments of the model: {instead}", file=sys.stderr)
    return {**settings, "model": {**model, "init_args": migrated}}


def _advice(key: str) -> str:
    match key:
        case "loss":
            return "each technique has its own loss; zoo.GAN takes any"
        case "penalty" | "penalty_every":
            return "penalties belong to zoo.WGANGP, zoo.ProgressiveGAN and zoo.StyleGAN"
        case "weight_clip":
            return "zoo.WGAN clips weights"
        case "redraw":
            return "zoo.DCGAN and zoo.MinibatchGAN can share samples between updates"
        case _:
            return "there was no such setting"
