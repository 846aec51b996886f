"""Deprecated arguments, translated when checkpoints and configurations are read. Kept for one version.

`game` was a dictionary with the settings of every GAN. Its entries are now arguments of the classes.
"""

import sys
from typing import Any

from zoo.errors import ZooError

_OF_EVERY_GAN = {"n_critic", "accumulate", "d_lr", "ema", "clip"}  # entries that became arguments of every GAN
_OF_CLASS = {  # further entries that became arguments, by class
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
# Values that entries without an argument have now. A stored entry with the same value can be dropped.
_FIXED = {"loss": "non_saturating", "redraw": True, "weight_clip": None, "penalty": None, "penalty_every": 1}
_FIXED_IN_CLASS: dict[str, dict[str, Any]] = {  # differences from _FIXED
    "WGAN": {"loss": "wasserstein"},
    "WGANGP": {"loss": "wasserstein", "penalty": "gradient"},
    "SNGAN": {"loss": "hinge"},
    "StyleGAN": {"penalty": "r1"},
    "CycleGAN": {"loss": "least_squares"},
}
_SNGAN_LR = 1e-4  # default of SNGAN's argument lr


def migrate_game(class_path: str, arguments: dict[str, Any], strict: bool = True) -> dict[str, Any]:
    """Replace a GAN's argument `game` by the arguments that have taken its place. The training stays bit-identical.

    Args:
        class_path: public name of the class. Classes outside the zoo keep their arguments.
        arguments: arguments of its constructor.
        strict: if the class no longer has a setting, raise. Without `strict`, print a note: a trained network works without
            the setting, but training cannot be continued as before.

    Raises:
        ZooError: if `strict` and the class no longer has a setting. The message names it.
    """
    package, _, name = class_path.rpartition(".")
    if package != "zoo" or name not in _OF_CLASS or "game" not in arguments:
        return arguments
    migrated = {key: value for key, value in arguments.items() if key != "game"}
    fixed = {**_FIXED, **_FIXED_IN_CLASS.get(name, {})}
    game = arguments["game"] or {}
    penalty_off = "penalty" in game and game["penalty"] is None and "penalty_weight" in _OF_CLASS[name]
    for key, value in game.items():
        if name == "SNGAN" and key == "d_lr" and value is None:  # None meant the generator's lr; now it means four times that
            migrated["d_lr"] = arguments.get("lr", _SNGAN_LR)
        elif key == "penalty" and penalty_off:
            migrated["penalty_weight"] = 0.0
        elif key in _OF_EVERY_GAN | _OF_CLASS[name] and not (key == "penalty_weight" and penalty_off):
            migrated[key] = value
        elif key == "penalty_weight" or (key in fixed and value == fixed[key]):
            continue  # the weight of a penalty that was off, or the value that the class always uses
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
        ZooError: if the model no longer has a setting. The message names it.
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
