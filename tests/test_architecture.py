"""The plan of the house: which room may import which, what stands where, and how large a base may grow."""

import ast
import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

import zoo

ROOT = Path(__file__).parents[1]
FAMILIES = ("mlp", "cnn", "rnn", "autoencoders", "gans", "transfer", "metric")
# from the top floor to the ground: a file imports its own floor and those below it
FLOORS = ["cli", FAMILIES, "tasks", "pretrained", "training", "metrics", ("nn", "augment")]
GROUND = {"zoo.errors", "zoo.public", "zoo.aliases"}  # imported by every floor; `zoo.errors` by the datamodules as well
FACADES = {
    "zoo",
    "zoo.reports",
    "zoo.strategies",
    "zoo.pretrained",
    "datamodules",
}  # public names, imported when they are first asked for
WHOLE = {"test_catalog.py", "test_reports.py", "test_resume.py", "test_wandb.py"}  # tests of every model, or of whole runs
PURE = {*sys.stdlib_module_names, "zoo"} - {"os", "pathlib", "io", "urllib", "subprocess", "shutil", "tempfile"}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


DATA = modules("datamodules")
MODULES = modules("zoo") | DATA


def imports(path: Path) -> Iterator[str]:
    """Our modules that a file imports, within functions too; imports for type checkers alone do not count."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else str(node.module)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from (name for name in visit(ast.parse(path.read_text(encoding="utf-8"))) if name in MODULES)


ARROWS = {name: set(imports(path)) - {name} for name, path in MODULES.items()}


def floor(module: str) -> int:
    """0 is the top floor."""
    room = module.split(".")[1]
    return next(place for place, rooms in enumerate(FLOORS) if room == rooms or room in rooms)


def ranked(module: str) -> bool:
    return module.startswith("zoo.") and module not in GROUND | FACADES | {"zoo.__main__"}


def test_no_import_points_up() -> None:
    up = [
        f"{name} -> {other}"
        for name in filter(ranked, ARROWS)
        for other in filter(ranked, ARROWS[name])
        if floor(other) < floor(name)
    ]
    assert not up


def test_a_family_imports_no_other_family() -> None:
    across = [
        f"{name} -> {other}"
        for name, others in ARROWS.items()
        for other in others
        if (a := name.split(".")[1:2]) != (b := other.split(".")[1:2]) and {*a, *b} <= set(FAMILIES) and a and b
    ]
    assert not across


def test_models_and_data_meet_in_batches_only() -> None:
    """Data import errors and augmentation from the models' package, and nothing else."""
    to_models = {
        (name, o) for name, others in ARROWS.items() for o in others if name.split(".")[0] != "zoo" and o.startswith("zoo")
    }
    assert {other for _, other in to_models if not other.startswith("zoo.augment.")} == {"zoo.errors"}
    to_data = {name for name, others in ARROWS.items() if name.startswith("zoo") and not {*others}.isdisjoint(DATA)}
    assert {name for name in to_data if not name.startswith("zoo.cli")} == set()


def rooms(arrows: dict[str, set[str]], depth: int) -> dict[str, set[str]]:
    """The arrows between rooms: modules named by their first `depth` parts."""
    found: dict[str, set[str]] = {}
    for name, others in arrows.items():
        room = ".".join(name.split(".")[:depth])
        found.setdefault(room, set()).update(".".join(other.split(".")[:depth]) for other in others)
    return {room: others - {room} for room, others in found.items()}


@pytest.mark.parametrize("what", ["files", "rooms", "tasks"])
def test_there_is_no_circle(what: str) -> None:
    arrows = {name: others - FACADES for name, others in ARROWS.items() if name not in FACADES}
    if what == "rooms":
        arrows = rooms({name: others - GROUND for name, others in arrows.items() if name not in GROUND}, depth=2)
    if what == "tasks":
        tasks = {name for name in arrows if name.startswith("zoo.tasks.")}
        arrows = rooms({name: arrows[name] & tasks for name in tasks}, depth=3)
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("room", "libraries"),
    [("augment", {"torch", "torchvision"}), ("nn", {"torch"}), ("metrics", {"torch", "torchmetrics", "sklearn"})],
    ids=["augment", "nn", "metrics"],
)
def test_the_lower_floors_import_no_more_than_they_need(room: str, libraries: set[str]) -> None:
    foreign = []
    for name, path in MODULES.items():
        if name.startswith(f"zoo.{room}"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [str(node.module)] if isinstance(node, ast.ImportFrom) else [found.name for found in node.names]
                    foreign += [f"{name} imports {n}" for n in names if n.split(".")[0] not in libraries | PURE]
    assert not foreign


def test_nobody_guesses_what_a_model_or_its_data_is() -> None:
    """An ability is a declared base class or protocol. Only `zoo.training.facts` reads what a user's datamodule may lack."""
    elsewhere = {"zoo.training.facts", "zoo.training.memory", "zoo.training.parallel"}  # a C library, and methods of nn.Module
    found = []
    for name, path in MODULES.items():
        if name.startswith("datamodules") or name in elsewhere:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hasattr", "getattr"):
                literal = node.func.id == "hasattr" or isinstance(node.args[1], ast.Constant)
                found += [f"{name}:{node.lineno}"] if literal else []
    assert not found


def test_tests_mirror_sources() -> None:
    astray = []
    for package in ("zoo", "datamodules"):
        for path in sorted((ROOT / "tests" / package).rglob("test_*.py")):
            source = ROOT / path.relative_to(ROOT / "tests").parent / path.name.removeprefix("test_")
            if not source.is_file() and path.name not in WHOLE:
                astray.append(str(path.relative_to(ROOT)))
    assert not astray


def test_cards_are_named_like_the_files_of_their_models() -> None:
    """A file with several systems has a card for each, FILE_*.md; a card of another library's network is named after that."""
    astray = []
    for card in sorted((ROOT / "zoo").glob("*/*.md")):
        front = yaml.safe_load(card.read_text(encoding="utf-8").split("---\n", 2)[1])
        stems = {path.stem for path in card.parent.glob("*.py")}
        own = card.stem in stems or any(card.stem.startswith(f"{stem}_") for stem in stems)
        if not own and front.get("argument") != "backbone":
            astray.append(str(card.relative_to(ROOT)))
    assert not astray


def test_recipes_name_public_classes() -> None:
    private = []
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        for name in re.findall(r"class_path: ((?:zoo|datamodules)\S+)", path.read_text(encoding="utf-8")):
            if name.rpartition(".")[0] not in FACADES:
                private.append(f"{path.name}: {name}")
    assert not private


def test_two_levels_of_ours_at_most() -> None:
    """A model derives from its task's base, which derives from `System`."""
    deep = []
    for name in zoo.HOMES:
        chain = [kind.__name__ for kind in longest_chain(getattr(zoo, name))]
        if len(chain) > 3:
            deep.append(" -> ".join(chain))
    assert not deep


def longest_chain(kind: type) -> list[type]:
    """The longest line of ancestors of ours, from a class up to `System`."""
    parents = [parent for parent in kind.__bases__ if parent.__module__.startswith("zoo.")]
    return [kind, *max((longest_chain(parent) for parent in parents), key=len, default=[])]


def lines_of(path: str, name: str = "") -> int:
    """Lines of a file, or of a class or a method (`Class.method`) in it."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if not name:
        return len(text.splitlines())
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        kinds = ast.ClassDef | ast.FunctionDef
        node = next(child for child in ast.iter_child_nodes(node) if isinstance(child, kinds) and child.name == part)
    return node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]  # definitions have both


@pytest.mark.parametrize(
    ("path", "name", "most"),
    [
        ("zoo/training/system.py", "System", 130),
        ("zoo/tasks/adversarial/base.py", "", 200),
        ("zoo/tasks/adversarial/base.py", "Adversarial.training_step", 40),
        ("README.md", "", 200),
    ],
)
def test_stays_small(path: str, name: str, most: int) -> None:
    assert lines_of(path, name) <= most
