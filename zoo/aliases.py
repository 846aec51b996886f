"""Deprecated arguments, translated when checkpoints and configurations are read. Kept for one version.

`game` was a dictionary with the settings of every GAN. Its entries are now arguments of the classes. Text data sets took each
setting of their tokenizer as an argument of its own. These settings are now the group `tokenizer`.
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
_TEXTS = {"AGNews", "HubText", "IMDb", "Names", "PythonManual", "SMSSpam", "SST2", "TREC", "TextFile"}
_OF_TOKENIZER = {  # arguments that became entries of `tokenizer`; the old argument `tokenizer` was the kind
    **{name: name for name in ("vocab_size", "lowercase", "min_frequency")},
    "tokenizer": "kind",
    "tokenizer_file": "file",
}


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


def migrate_tokenizer(class_path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Move the tokenizer arguments of a text data set into the group `tokenizer`. Other classes are left unchanged."""
    old = {name: _OF_TOKENIZER[name] for name in arguments if _is_flat(class_path, name, arguments[name])}
    if not old:
        return arguments
    group = arguments["tokenizer"] if isinstance(arguments.get("tokenizer"), dict) else {}
    rest = {name: value for name, value in arguments.items() if name not in old}
    return {**rest, "tokenizer": {**group, **{key: arguments[name] for name, key in old.items()}}}


def current_setting(name: str, value: object, data: str) -> str:
    """Return the current dotted name of a command-line setting. `data` is the class path of the datamodule."""
    *groups, last = name.split(".")
    if groups in (["data"], ["data", "init_args"]) and _is_flat(data, last, value):
        return ".".join([*groups, "tokenizer", _OF_TOKENIZER[last]])
    return name


def migrate_settings(settings: dict[str, Any], source: str | None) -> dict[str, Any]:
    """Migrate the model and the data of a configuration that was written for an earlier version.

    Args:
        settings: what the configuration sets.
        source: its file, for a printed note; None prints nothing.

    Raises:
        ZooError: if the model no longer has a setting. The message names it.
    """
    for group, migrate in (("model", migrate_game), ("data", migrate_tokenizer)):
        part = settings.get(group)
        before = part.get("init_args") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(before, dict):
            continue
        after = migrate(str(part.get("class_path", "")), before)
        if after is before:
            continue
        settings = {**settings, group: {**part, "init_args": after}}
        if source is not None:
            gone = ", ".join(f"{group}.{key}" for key, value in before.items() if key not in after or after[key] != value)
            instead = ", ".join(f"{key}: {value}" for key, value in after.items() if before.get(key) != value)
            print(f"{source}: deprecated settings {gone}; write instead {instead or 'nothing'}", file=sys.stderr)
    return settings


def _is_flat(class_path: str, name: str, value: object) -> bool:
    """Return whether a data setting is a tokenizer setting in the flat form of an earlier version."""
    package, _, last = class_path.rpartition(".")
    ours = package in ("", "datamodules") and last in _TEXTS
    return ours and name in _OF_TOKENIZER and (name != "tokenizer" or isinstance(value, str))


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
