"""Read the names of settings from the source code of classes, without importing torch or Lightning.

The import takes seconds, but a typo should be reported at once. If the source does not state a signature completely, the
functions return None, and jsonargparse checks the setting after the import.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import datamodules
import zoo
from zoo import reports, strategies

# packages with public names: the package of the files, and the file of each class
_PUBLIC = {
    "zoo": ("zoo", zoo.HOMES),
    "zoo.reports": ("zoo.tasks", reports.HOMES),
    "zoo.strategies": ("zoo.training", strategies.HOMES),
    "datamodules": ("datamodules", datamodules.HOMES),
}
_PLAIN = {"int", "float", "bool", "str", "list", "tuple", "Sequence", "Literal", "Path", "Optional", "Union"}


class Setting(NamedTuple):
    """An argument of a constructor."""

    name: str
    fields: frozenset[str] | None  # the keys of a TypedDict; None for any other type


class _Class(NamedTuple):
    module: str
    node: ast.ClassDef


def class_settings(path: str) -> dict[str, Setting] | None:
    """Return the constructor arguments of the class at a dotted path; None if the source does not state all of them."""
    found = _find(path)
    constructor = None if found is None else _constructor(found)
    if constructor is None:
        return None
    module, arguments = constructor
    if arguments.kwarg is not None or arguments.vararg is not None:
        return None
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs][1:]  # the first is self
    return {argument.arg: Setting(argument.arg, _fields_of(module, argument.annotation)) for argument in named}


def typed_fields(path: str) -> frozenset[str]:
    """Return the keys of the TypedDict at a dotted path."""
    found = _find(path)
    assert found is not None, path
    return _typed_dict(found) or frozenset()


@cache
def trainer_settings() -> frozenset[str] | None:
    """Return the arguments of Lightning's Trainer."""
    package = importlib.util.find_spec("lightning")  # finds the folder without importing
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "pytorch" / "trainer" / "trainer.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Trainer" and (found := _init(node)):
            return frozenset(argument.arg for argument in [*found.args, *found.kwonlyargs][1:])
    return None


def _constructor(found: _Class) -> tuple[str, ast.arguments] | None:
    """Return the arguments of `__init__` of a class or its first base with one, and the module they are written in."""
    if own := _init(found.node):
        return found.module, own
    for base in found.node.bases:
        expression = base.value if isinstance(base, ast.Subscript) else base
        parent = _find(_dotted(found.module, expression))
        if parent is None:
            return None  # the constructor may be in a class of a library
        if inherited := _constructor(parent):
            return inherited
    return None


def _init(node: ast.ClassDef) -> ast.arguments | None:
    return next((part.args for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)


def _fields_of(module: str, annotation: ast.expr | None) -> frozenset[str] | None:
    """Return the keys of an argument annotated as a TypedDict, such as `Optim | None`; None for other annotations."""
    if annotation is None:
        return None
    keys: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name) and node.id not in _PLAIN:
            found = _find(_dotted(module, node))
            fields = None if found is None else _typed_dict(found)
            if fields is None:
                return None
            keys |= fields
        elif isinstance(node, ast.Attribute):
            return None
    return frozenset(keys) or None


def _typed_dict(found: _Class) -> frozenset[str] | None:
    """Return the keys of a TypedDict, including inherited keys; None for any other class."""
    keys = {node.target.id for node in found.node.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    for base in found.node.bases:
        if isinstance(base, ast.Name) and base.id == "TypedDict":
            continue
        parent = _find(_dotted(found.module, base))
        inherited = None if parent is None else _typed_dict(parent)
        if inherited is None:
            return None
        keys |= inherited
    return frozenset(keys) if found.node.bases else None


@cache
def _find(path: str) -> _Class | None:
    """Find the class at a dotted path, including public names and names that a module imports."""
    module, _, name = path.rpartition(".")
    if module in _PUBLIC and name in _PUBLIC[module][1]:
        root, homes = _PUBLIC[module]
        module = f"{root}.{homes[name]}"
    tree = _tree(module)
    if tree is None:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(module, node)
    imported = _dotted(module, ast.Name(name))
    return _find(imported) if imported not in ("", path) else None


def _dotted(module: str, expression: ast.expr) -> str:
    """Return the dotted path of a name used in a module; empty if the expression is not a name."""
    tree = _tree(module)
    if tree is None or not isinstance(expression, ast.Name):
        return ""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == expression.id:
                    return f"{node.module}.{alias.name}"
    return f"{module}.{expression.id}"


@cache
def _tree(module: str) -> ast.Module | None:
    """Parse the source of a module of the zoo or of datamodules; None for other modules."""
    package, *parts = module.split(".")
    roots = {"zoo": zoo.__file__, "datamodules": datamodules.__file__}
    if package not in roots or roots[package] is None:
        return None
    path = Path(str(roots[package])).parent.joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else None
