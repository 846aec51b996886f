"""Translate the errors of jsonargparse to one line each, with a suggestion for unknown names."""

import importlib
import inspect
import re

from lightning.pytorch.cli import LightningArgumentParser

import datamodules
import zoo
from datamodules.text.tokenization import TokenizerSettings
from zoo.cli.names import nearest
from zoo.cli.settings import COMMAND_SETTINGS
from zoo.training.links import import_class
from zoo.training.optim import Optim
from zoo.training.tracking import Wandb

_TYPED = {"optim": Optim, "tokenizer": TokenizerSettings, "wandb": Wandb}
_OURS = {"model": zoo, "data": datamodules}


def explain(message: str, classes: dict[str, str], parser: LightningArgumentParser) -> str:
    """Summarise an error of jsonargparse in one line.

    Args:
        message: the text of the error.
        classes: the class paths of "model" and "data", if they are set.
        parser: the parser that raised the error.
    """
    text = " | ".join(line.strip() for line in message.splitlines() if line.strip())
    return _about_a_class(text) or _about_a_name(text, classes, parser) or _about_a_value(text) or text


def not_set(groups: list[str]) -> str:
    """Write the message for a configuration that sets no model or no data."""
    missing, verb = " and no ".join(groups), "is" if len(groups) == 1 else "are"
    settings = " and ".join(f"{group}.class_path" for group in groups)
    return f"no {missing} {verb} set: name a recipe first, such as -c mlp_digits, or set {settings}"


def _about_a_class(text: str) -> str | None:
    if required := re.search(r"the following arguments are required: ([\w, ]+)", text):
        names = required[1].split(", ")
        return not_set([group for group in _OURS if group in names]) if set(names) <= set(_OURS) else None
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return f"no module {missing[1]!r} to import the class from: install it, or list its package in ZOO_IMPORTS"
    # For a setting of a callback, jsonargparse also tries the base class lightning.Callback, which nobody named.
    if denied := re.search(r"Importing '(?!lightning\.Callback')([\w.]+)' is not allowed", text):
        path, package = denied[1], denied[1].split(".")[0]
        return f"{path} is not of the zoo: if you trust it, allow its package with ZOO_IMPORTS={package} zoo ..."
    if unknown := re.search(r"(zoo(?:\.\w+)?|datamodules) has no '(\w+)': it has ([\w, ]+)", text):
        package, name, known = unknown.groups()
        return f"{package} has no class {name!r}: {nearest(name, known.split(', '))}"
    if unknown := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", text):
        package, name = unknown.groups()
        there = [key for key, value in vars(importlib.import_module(package)).items() if isinstance(value, type)]
        return f"{package} has no class {name!r}: {nearest(name, there)}"
    group, _ = _place(text)
    if group in _OURS and (bare := re.search(r"Expected a dot import path string: (\w+)", text)):
        package, known = _OURS[group].__name__, list(_OURS[group].HOMES)
        if bare[1] in known:
            return f"{group} is {bare[1]!r}: did you mean '{package}.{bare[1]}'?"
        return f"{package} has no class {bare[1]!r}: {nearest(bare[1], known)}"
    return None


def _about_a_name(text: str, classes: dict[str, str], parser: LightningArgumentParser) -> str | None:
    group, inner = _place(text)
    if unknown := re.search(r"Group '(\w+)' does not accept option '([\w.]+)'", text):
        group, name = unknown.groups()
        return f"no setting {group}.{name}: {nearest(name, _settings(group, classes, parser))}"
    if unknown := re.search(r"Problem with given class_path '([\w.]+)': \| Option '(\w+)' is not accepted", text):
        path, name = unknown.groups()
        return f"no setting {group}.{name}: {nearest(name, list(inspect.signature(import_class(path)).parameters))}"
    if unknown := re.search(r"Option '(\w+)' is not accepted", text):
        return f"no setting {group}.{unknown[1]}: {nearest(unknown[1], _settings(group, classes, parser))}"
    if unknown := re.search(r"Unexpected keys: \{'(\w+)'", text):
        known = list(_TYPED[inner].__annotations__) if inner in _TYPED else _settings(group, classes, parser)
        return f"no setting {'.'.join(dict.fromkeys([group, inner, unknown[1]]))}: {nearest(unknown[1], known)}"
    if unknown := re.search(r"[Uu]nrecognized arguments?: --([\w.]+)", text) or re.search(
        r"[Kk]ey \W?([\w.]+)\W? (?:is )?not expected", text
    ):
        group, _, name = unknown[1].rpartition(".")
        if there := _settings(group, classes, parser):
            return f"no setting {unknown[1]}: {nearest(name, there)}"
        return f"no setting {unknown[1]}: {nearest(unknown[1].split('.')[0], _settings('', classes, parser))}"
    return None


def _about_a_value(text: str) -> str | None:
    group, inner = _place(text)
    name = group if group.split(".")[-1] == inner else f"{group}.{inner}"
    # One part between the bars holds both the type and the value.
    if wrong := re.search(r"Expected (?:a|one of) ((?:(?! \| ).)+?)\. Got value: (.+?)(?: \||$)", text):
        return f"{name} is {wrong[2]!r}: expected {_types(wrong[1])}"
    subtypes, value = re.findall(r"Subtypes: \[(.+?)\] \| Errors", text), re.search(r"Given value: (.+?)(?: \||$)", text)
    if subtypes and value:
        return f"{name} is {value[1]!r}: expected one of {_types(subtypes[-1])}"
    return None


def _place(text: str) -> tuple[str, str]:
    """Return the outermost and the innermost setting in a message, such as model and lr, or trainer.callbacks and patience."""
    keys = re.findall(r'Parser key "([\w.]+)"', text)
    if not keys:
        return "", ""
    outer = keys[0] if keys[0].startswith("trainer.") else keys[0].split(".")[0]
    return outer, keys[-1].split(".")[-1]


def _types(text: str) -> str:
    """Write types the way users write their values."""
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "").replace("NoneType", "null")
    text = re.sub(r"\bzoo(?:\.\w+)+", "settings by name such as {name: ...}", text)  # a TypedDict
    return re.sub(
        r"(?:collections\.abc\.)?\b(?:Sequence|list|List)\b(?!\[)",
        "a list such as [64, 64]",
        text.replace("collections.abc.", ""),
    )


def _settings(group: str, classes: dict[str, str], parser: LightningArgumentParser) -> list[str]:
    """Return the settings of a group; for an empty name, the names of the groups."""
    if group in ("model", "data"):
        return list(inspect.signature(import_class(classes[group])).parameters) if group in classes else []
    names = [action.dest for action in parser._actions if action.dest != "help"]
    if group:
        return [name.removeprefix(f"{group}.") for name in names if name.startswith(f"{group}.")]
    return [name for name in names if "." not in name and not name.startswith("print_")] + list(COMMAND_SETTINGS)
