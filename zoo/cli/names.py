"""Find recipes, overlays and published weights by name; imports nothing that takes time."""

import difflib
from pathlib import Path

import recipes
from zoo.errors import UsageError

ROOT = Path(recipes.__file__).parent
WEIGHTS = Path(__file__).resolve().parents[1] / "pretrained" / "weights"
OVERLAYS = ("trainer", "debug")
_NOT_RECIPES = (*OVERLAYS, "sweeps", "claims")


def recipe_paths() -> dict[str, Path]:
    """Every recipe by its stem."""
    paths = sorted(ROOT.rglob("*.yaml"))
    return {path.stem: path for path in paths if path.relative_to(ROOT).parts[0] not in _NOT_RECIPES}


def overlay_paths() -> dict[str, Path]:
    """Every overlay by its folder and stem, as in trainer/bf16."""
    return {f"{folder}/{path.stem}": path for folder in OVERLAYS for path in sorted((ROOT / folder).glob("*.yaml"))}


def nearest(word: str, words: list[str]) -> str:
    """A hint for a mistyped word: the nearest correct one, or all of them."""
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(words)}"


def find_config(name: str) -> Path:
    """The path of a configuration: a file, or a recipe or an overlay by name.

    Raises:
        UsageError: with the nearest right name.
    """
    if Path(name).is_file():
        return Path(name)
    known = {**recipe_paths(), **overlay_paths()}
    if (bare := name.removesuffix(".yaml")) in known:
        return known[bare]
    raise UsageError(f"no recipe or file {name!r}: {nearest(bare, list(known))}")


def find_checkpoint(name: Path) -> Path:
    """The path of a checkpoint, or of published weights by their name; whether the file exists shows when it is read."""
    published = WEIGHTS / f"{name}.safetensors"
    return published if not name.exists() and published.is_file() else name


def is_published(checkpoint: Path) -> bool:
    """Whether a file is one of the published weights, which are installed with the package."""
    return checkpoint.parent == WEIGHTS


def find_recipe(name: str) -> Path:
    """A recipe's path by its stem.

    Raises:
        UsageError: with the nearest right name.
    """
    paths = recipe_paths()
    if name.removesuffix(".yaml") not in paths:
        raise UsageError(f"no recipe {name!r}: {nearest(name, list(paths))}")
    return paths[name.removesuffix(".yaml")]


def find_shown(name: str) -> Path:
    """The path of a recipe or an overlay by its name, or of a YAML file.

    Raises:
        UsageError: with the nearest right name.
    """
    if name in overlay_paths():
        return overlay_paths()[name]
    return Path(name) if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file() else find_recipe(name)
