"""Read configurations, and check the names of their settings.

This file does not import torch, so that typos are found before the slow libraries are loaded.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import datamodules
import zoo
from zoo.aliases import current_setting, migrate_settings
from zoo.cli.names import nearest
from zoo.cli.signatures import class_settings, trainer_settings, typed_fields
from zoo.errors import UsageError
from zoo.public import current_name

COMMAND_SETTINGS = ("resume", "run_dir")  # arguments of the command, suggested for typos as well
_SETTINGS = (
    "seed_everything",
    "trainer",
    "model",
    "data",
    "checkpoint_every_n_steps",
    "wandb",
    "ema",
    "compile",
    "gradient_checkpointing",
)
_SPECIAL = ("config", "help", "print_config")
_NAME_A_CLASS = ("--model", "--data", "--trainer.strategy", "--trainer.callbacks", "--trainer.callbacks+")


class _Loader(yaml.SafeLoader):
    """Read YAML as jsonargparse does (3e-4 is a number, a date is text), and refuse duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, yaml.Mark] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    first, second = seen[key.value].line + 1, key.start_mark.line + 1
                    raise UsageError(f"{key.value!r} is set twice, in lines {first} and {second}: remove one of them")
                seen[key.value] = key.start_mark
        return super().construct_mapping(node, deep)


_RESOLVERS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _RESOLVERS]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.[0-9_]+(?:[eE][-+][0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


class _Dumper(yaml.SafeDumper):
    """Write YAML with quoted text, so that every reader takes "3e-4" for text and 0.0003 for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def read_settings(path: Path, note: bool = False) -> dict[str, Any]:
    """Read a YAML configuration, and replace class paths of earlier versions by the current ones.

    All configurations are read here: recipes, overlays, files of users and the config.yaml of runs.

    Args:
        path: the file.
        note: print a note if the file has settings of an earlier version.

    Raises:
        UsageError: if the file is not YAML, has duplicate keys, or is not a mapping.
    """
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise UsageError(
            f"{path} is not a configuration: expected settings by name (see zoo show mlp_digits), got {type(settings).__name__}"
        )
    return migrate_settings(_with_current_names(settings), str(path) if note else None)


def check_names(configurations: list[tuple[Path, dict[str, Any]]], overrides: list[str]) -> None:
    """Refuse unknown settings, as far as signatures can be read without importing them.

    Settings of other packages' classes are checked by jsonargparse, which imports the classes.

    Raises:
        UsageError: for an unknown setting; suggests the closest name.
    """
    classes: dict[str, str] = {}  # the classes of model and data so far
    for path, settings in configurations:
        for name, value in settings.items():
            _check(name.split("."), value, classes, f"{path}: ")
    for name, text in named_values(with_current_names(overrides, configurations)):
        _check(name.split("."), _value(name, text), classes, "")


def named_values(overrides: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the settings of a command line: name and text of the value."""
    words = iter([*overrides, ""])
    word = next(words)
    for following in words:
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            yield name, text if equals else None if following.startswith("--") else following
        word = following


def class_paths(configurations: list[tuple[Path, dict[str, Any]]], overrides: list[str]) -> dict[str, str]:
    """Return the final classes of model and data."""
    classes: dict[str, str] = {}
    for name, value in [
        *(item for _, settings in configurations for item in settings.items()),
        *((name, _value(name, text)) for name, text in named_values(overrides)),
    ]:
        _note_class(name.split("."), value, classes)
    return classes


def with_current_names(overrides: list[str], configurations: list[tuple[Path, dict[str, Any]]]) -> list[str]:
    """Replace class paths and settings of earlier versions in overrides by the current ones; other text stays unchanged."""
    words, name = [], ""
    for word in overrides:
        if not word.startswith("--"):
            words.append(_with_current_classes(name, word))
            continue
        name, equals, text = word.partition("=")
        words.append(f"{name}={_with_current_classes(name, text)}" if equals else word)
    data = class_paths(configurations, words).get("data", "")
    for place, word in enumerate(words):
        name, equals, text = word.removeprefix("--").partition("=")
        value = _value(name, text if equals else "".join(words[place + 1 : place + 2])) if word.startswith("--") else None
        if (current := current_setting(name, value, data)) != name:
            words[place] = f"--{current}{equals}{text}"
    return words


def as_yaml(settings: dict[str, Any]) -> str:
    """Write settings as YAML that jsonargparse reads back to the same values."""
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False, width=sys.maxsize, allow_unicode=True)


def _check(name: list[str], value: Any, classes: dict[str, str], where: str) -> None:
    group, *rest = [part.removesuffix("+") for part in name]
    if group in _SPECIAL or name[-1] == "help" or group.startswith("print_"):
        return
    if group not in _SETTINGS:
        raise _unknown(where, name, group, [*_SETTINGS, *COMMAND_SETTINGS])
    if group in ("model", "data"):
        _note_class(name, value, classes)
        _check_class(name, rest, value, classes.get(group), where)
    elif group in ("trainer", "wandb"):
        known = trainer_settings() if group == "trainer" else typed_fields("zoo.training.tracking.Wandb")
        if known is not None:
            for key in rest[:1] or (list(value) if isinstance(value, dict) else []):
                if (setting := key.removesuffix("+").split(".")[0]) not in known:
                    raise _unknown(where, [group, setting], setting, sorted(known))


def _check_class(name: list[str], rest: list[str], value: Any, class_path: str | None, where: str) -> None:
    """Check a setting of the model or the data: the whole group, its arguments, one argument, or a key of one."""
    if not rest or rest == ["init_args"]:
        for key, inner in value.items() if isinstance(value, dict) else ():
            _check_class([*name, key], [*rest, *key.split(".")], inner, class_path, where)
        return
    settings = None if class_path is None else class_settings(class_path)
    if rest[0] in ("class_path", "dict_kwargs") or settings is None:
        return
    argument, *keys = rest[1:] if rest[0] == "init_args" else rest
    shown = [part for part in name if part != "init_args"]
    if argument not in settings:
        raise _unknown(where, shown, argument, list(settings))
    fields = settings[argument].fields
    if fields is None:
        return
    for key in keys[:1] or (list(value) if isinstance(value, dict) else []):
        if key not in fields:
            raise _unknown(where, [shown[0], argument, key], key, sorted(fields))


def _note_class(name: list[str], value: Any, classes: dict[str, str]) -> None:
    """Add the class of the model or the data to `classes`, if the setting names it.

    Raises:
        UsageError: if the class should be in the zoo, but does not exist.
    """
    if name[0] not in ("model", "data"):
        return
    path = value if len(name) == 1 or name[1:] == ["class_path"] else None
    if isinstance(path, dict):
        path = path.get("class_path")
    if isinstance(path, str):
        package, _, last = path.rpartition(".")
        for ours in (zoo, datamodules):
            if package == ours.__name__ and last not in ours.HOMES:
                raise UsageError(f"{package} has no class {last!r}: {nearest(last, list(ours.HOMES))}")
        classes[name[0]] = path


def _unknown(where: str, name: list[str], word: str, known: list[str]) -> UsageError:
    return UsageError(f"{where}no setting {'.'.join(name)}: {nearest(word, known)}")


def _value(name: str, text: str | None) -> Any:
    """Parse the value of a command-line setting. Invalid YAML is returned unchanged, so that jsonargparse reports it.

    Raises:
        UsageError: if it contains a key twice.
    """
    try:
        return yaml.load(text or "", _Loader)
    except UsageError as error:
        raise UsageError(f"--{name}: {error}") from error
    except yaml.YAMLError:
        return text


def _with_current_classes(name: str, text: str) -> str:
    """Replace class paths of earlier versions in the value of one override."""
    if name in _NAME_A_CLASS or name.endswith("class_path"):
        text = _current_class(text)
    value = _value(name.removeprefix("--"), text)
    current = _with_current_names(value)
    return text if current == value else yaml.dump(current, Dumper=_Dumper, default_flow_style=True, width=sys.maxsize).strip()


def _with_current_names(value: Any) -> Any:
    """Replace the `class_path` values in nested settings by the current ones."""
    if isinstance(value, list):
        return [_with_current_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _current_class(item) if name == "class_path" and isinstance(item, str) else _with_current_names(item)
        for name, item in value.items()
    }


def _current_class(path: str) -> str:
    """Return the public name for a class path of an earlier version; other text stays unchanged."""
    name = path.rpartition(".")[2]
    return f"datamodules.{name}" if path.startswith("datamodules.") and name in datamodules.HOMES else current_name(path)
