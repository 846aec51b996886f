"""jsonargparse's errors in one line, with the nearest right name where a name is unknown."""

import inspect
import re

from lightning.pytorch.cli import LightningArgumentParser

from zoo.cli.names import nearest
from zoo.cli.settings import COMMAND_SETTINGS
from zoo.training.links import import_class
from zoo.training.optim import Optim
from zoo.training.tracking import Wandb

_TYPED = {"optim": Optim, "wandb": Wandb}


def explain(message: str, classes: dict[str, str], parser: LightningArgumentParser) -> str:
    """Say in one line what jsonargparse says in many.

    Args:
        message: the text of the error.
        classes: the class paths of "model" and "data", where they are set.
        parser: the parser that raised the error.
    """
    text = " | ".join(line.strip() for line in message.splitlines() if line.strip())
    return _about_a_class(text) or _about_a_name(text, classes, parser) or _about_a_value(text) or text


def _about_a_class(text: str) -> str | None:
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return f"no module {missing[1]!r} to take a class from: install it, or name a file of this folder in ZOO_IMPORTS"
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", text):
        path, package = denied[1], denied[1].split(".")[0]
        return f"{path} is not of the zoo: if you trust it, name its package, ZOO_IMPORTS={package} zoo ..."
    if unknown := re.search(r"(zoo(?:\.\w+)?|datamodules) has no '(\w+)': it has ([\w, ]+)", text):
        package, name, known = unknown.groups()
        return f"{package} has no class {name!r}: {nearest(name, known.split(', '))}"
    return None


def _about_a_name(text: str, classes: dict[str, str], parser: LightningArgumentParser) -> str | None:
    group, inner = _place(text)
    if unknown := re.search(r"Group '(\w+)' does not accept option '([\w.]+)'", text):
        group, name = unknown.groups()
        return f"no setting {group}.{name}: {nearest(name, _settings(group, classes, parser))}"
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
    name = group if inner == group else f"{group}.{inner}"
    if wrong := re.search(r"Expected (?:a|one of) (.+?)\. Got value: (.+?)(?: \||$)", text):
        return f"{name} is {wrong[2]!r}: expected {_types(wrong[1])}"
    subtypes, given = re.findall(r"Subtypes: \[(.+?)\] \| Errors", text), re.search(r"Given value: (.+?)(?: \||$)", text)
    if subtypes and given:
        return f"{name} is {given[1]!r}: expected one of {_types(subtypes[-1])}"
    return None


def _place(text: str) -> tuple[str, str]:
    """The outermost and the innermost setting that a message names, such as model and lr."""
    keys = re.findall(r'Parser key "([\w.]+)"', text)
    return (keys[0].split(".")[0], keys[-1].split(".")[-1]) if keys else ("", "")


def _types(text: str) -> str:
    """Types as a user writes their values."""
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "").replace("NoneType", "null")
    return re.sub(
        r"(?:collections\.abc\.)?\b(?:Sequence|list|List)\b(?!\[)",
        "a list such as [64, 64]",
        text.replace("collections.abc.", ""),
    )


def _settings(group: str, classes: dict[str, str], parser: LightningArgumentParser) -> list[str]:
    """The settings that exist in a group; the groups themselves for an empty name."""
    if group in ("model", "data"):
        return list(inspect.signature(import_class(classes[group])).parameters) if group in classes else []
    names = [action.dest for action in parser._actions if action.dest != "help"]
    if group:
        return [name.removeprefix(f"{group}.") for name in names if name.startswith(f"{group}.")]
    return [name for name in names if "." not in name and not name.startswith("print_")] + list(COMMAND_SETTINGS)
