"""What a configuration says: read, compared with a checkpoint, and explained where it is wrong."""

import inspect
import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from zoo.cli.names import nearest
from zoo.errors import UsageError, ZooError
from zoo.public import public_name
from zoo.training.links import import_class
from zoo.training.optim import Optim
from zoo.training.tracking import Wandb


def read_settings(path: Path) -> dict[str, Any]:
    """What a YAML file sets.

    Raises:
        UsageError: if it is no YAML, or sets nothing by name.
    """
    try:
        settings = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise UsageError(
            f"{path} is no configuration: expected settings by name (see zoo show mlp_digits), got {type(settings).__name__}"
        )
    return settings


def check_against_checkpoint(model_class: type, arguments: Namespace, checkpoint: dict[str, Any], path: str) -> None:
    """Refuse a configuration that asks for another model than the checkpoint holds.

    Lightning would load the weights into it, or take the checkpoint's values in silence (lightning #21455).

    Raises:
        ZooError: naming the class, or every differing argument.
    """
    wanted = public_name(model_class)
    held = checkpoint.get("class_path", wanted)
    if held != wanted:
        raise ZooError(
            f"{path} holds a {held}, but the configuration asks for a {wanted}: use the config.yaml of the checkpoint's run"
        )
    recorded = checkpoint.get("hyper_parameters", {})
    given = arguments.as_dict()
    differing = [
        f"{name} is {_plain(given[name])}, was {_plain(value)}"
        for name, value in recorded.items()
        if name in given and _plain(given[name]) != _plain(value)
    ]
    if differing:
        raise ZooError(
            f"the model differs from {path}: {'; '.join(differing)}. Use the config.yaml of the checkpoint's run, or train anew"
        )


def check_classes(data: LightningDataModule, checkpoint: dict[str, Any], path: str) -> None:
    """Refuse data with other classes than the checkpoint's model knows, or the same in another order.

    Raises:
        ZooError: naming the first that differs.
    """
    known, found = checkpoint.get("data", {}).get("class_names", []), list(getattr(data, "class_names", ()))
    if known and found and known != found:
        number = next((i for i, (a, b) in enumerate(zip(known, found, strict=False)) if a != b), min(len(known), len(found)))
        was, now = (names[number] if number < len(names) else "missing" for names in (known, found))
        raise ZooError(
            f"{path} knows {len(known)} classes, {type(data).__name__} has {len(found)}: class {number} is {now}, was {was}. "
            "Use the data it was trained on, or train anew"
        )


def explain(message: str, args: list[str], parser: LightningArgumentParser) -> str:
    """One line for what jsonargparse says on many, with the nearest right name where a name is unknown."""
    text = " | ".join(line.strip() for line in message.splitlines() if line.strip())
    keys = re.findall(r'Parser key "([\w.]+)"', text)
    group, inner = (keys[0].split(".")[0], keys[-1].split(".")[-1]) if keys else ("", "")
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return f"no module {missing[1]!r} to take a class from: install it, or name a file of this folder in ZOO_IMPORTS"
    if unknown := re.search(r"Group '(\w+)' does not accept option '([\w.]+)'", text):
        return f"no setting {unknown[1]}.{unknown[2]}: {nearest(unknown[2], _settings(unknown[1], args, parser))}"
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", text):
        return (
            f"{denied[1]} is not of the zoo: if you trust it, name its package, ZOO_IMPORTS={denied[1].split('.')[0]} zoo ..."
        )
    if no_class := re.search(r"(zoo|datamodules) has no '(\w+)': it has ([\w, ]+)", text):
        return f"{no_class[1]} has no class {no_class[2]!r}: {nearest(no_class[2], no_class[3].split(', '))}"
    if unknown := re.search(r"Option '(\w+)' is not accepted", text):
        return f"no setting {group}.{unknown[1]}: {nearest(unknown[1], _settings(group, args, parser))}"
    if unknown := re.search(r"Unexpected keys: \{'(\w+)'", text):
        known = {"optim": Optim, "wandb": Wandb}.get(inner)
        known_names = list(known.__annotations__) if known else _settings(group, args, parser)
        return f"no setting {'.'.join(dict.fromkeys([group, inner, unknown[1]]))}: {nearest(unknown[1], known_names)}"
    if unknown := re.search(r"[Uu]nrecognized arguments?: --([\w.]+)", text) or re.search(
        r"[Kk]ey \W?([\w.]+)\W? (?:is )?not expected", text
    ):
        group, _, name = unknown[1].rpartition(".")
        if there := _settings(group, args, parser):
            return f"no setting {unknown[1]}: {nearest(name, there)}"
        return f"no setting {unknown[1]}: {nearest(unknown[1].split('.')[0], _settings('', args, parser))}"
    name = group if inner == group else f"{group}.{inner}"
    if wrong := re.search(r"Expected (?:a|one of) (.+?)\. Got value: (.+?)(?: \||$)", text):
        return f"{name} is {wrong[2]!r}: expected {_types(wrong[1])}"
    unions, given = re.findall(r"Subtypes: \[(.+?)\] \| Errors", text), re.search(r"Given value: (.+?)(?: \||$)", text)
    if unions and given:
        return f"{name} is {given[1]!r}: expected one of {_types(unions[-1])}"
    return text


def _types(text: str) -> str:
    """Types as one writes them."""
    return re.sub(r"<class '([\w.]+)'>", r"\1", text).replace("typing.", "").replace("NoneType", "null")


def _settings(group: str, args: list[str], parser: LightningArgumentParser) -> list[str]:
    """The settings that stand where an unknown one was looked for."""
    if group in ("model", "data"):
        classes: dict[str, str] = {}
        for arg in args:
            if arg.startswith("--config="):
                settings = read_settings(Path(arg.removeprefix("--config=")))
                classes |= {
                    name: value["class_path"] for name, value in settings.items() if name == group and "class_path" in value
                }
        return [name for name in inspect.signature(import_class(classes[group])).parameters] if group in classes else []
    names = [action.dest for action in parser._actions if action.dest != "help"]
    if group:
        return [name.removeprefix(f"{group}.") for name in names if name.startswith(f"{group}.")]
    return [name for name in names if "." not in name and not name.startswith("print_")] + ["resume", "run_dir"]


def _plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
