"""Find recipes, overlays, checkpoints and published weights by name, without slow imports."""

import difflib
from pathlib import Path

import recipes
from zoo.errors import UsageError

ROOT = Path(recipes.__file__).parent
WEIGHTS = Path(__file__).resolve().parents[1] / "pretrained" / "weights"
OVERLAYS = ("trainer", "debug")
_NOT_RECIPES = (*OVERLAYS, "sweeps", "claims")


def recipe_paths() -> dict[str, Path]:
    """Return all recipes by stem."""
    paths = sorted(ROOT.rglob("*.yaml"))
    return {path.stem: path for path in paths if path.relative_to(ROOT).parts[0] not in _NOT_RECIPES}


def overlay_paths() -> dict[str, Path]:
    """Return all overlays by folder and stem, such as trainer/bf16."""
    return {f"{folder}/{path.stem}": path for folder in OVERLAYS for path in sorted((ROOT / folder).glob("*.yaml"))}


def nearest(word: str, words: list[str]) -> str:
    """Return a hint for a misspelt word: the closest correct word, or the first 20 words."""
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    more = f" and {len(words) - 20} more" if len(words) > 20 else ""
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(words[:20])}{more}"


def find_config(name: str) -> Path:
    """Return the path of a configuration: a file, or a recipe or an overlay by name.

    Raises:
        UsageError: if there is no such file or name; suggests the closest name.
    """
    if Path(name).is_file():
        return Path(name)
    known = {**recipe_paths(), **overlay_paths()}
    if (bare := name.removesuffix(".yaml")) in known:
        return known[bare]
    raise UsageError(f"no recipe or file {name!r}: {nearest(bare, list(known))}")


def find_checkpoint(name: Path) -> Path:
    """Return the path of a checkpoint, or of published weights by name. An existing file takes precedence over a name.

    Raises:
        UsageError: if there is no such checkpoint; suggests the closest file or name.
    """
    if name.is_file():
        return name
    published = {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
    if str(name) in published and not name.exists():
        return published[str(name)]
    files = [
        str(path)
        for folder in (name.parent, name, name / "checkpoints")
        for pattern in ("*.ckpt", "*.safetensors")
        for path in sorted(folder.glob(pattern))
    ]
    hint = nearest(str(name), [*files, *published])
    if name.is_dir():
        raise UsageError(f"{name} is a folder, not a checkpoint: {hint}")
    raise UsageError(f"no checkpoint {name}: {hint}")


def is_published(checkpoint: Path) -> bool:
    """Return whether a file is one of the published weights that are installed with the package."""
    return checkpoint.parent == WEIGHTS


def find_recipe(name: str) -> Path:
    """Return the path of a recipe by its stem.

    Raises:
        UsageError: if there is no such recipe; suggests the closest name.
    """
    paths = recipe_paths()
    if name.removesuffix(".yaml") not in paths:
        raise UsageError(f"no recipe {name!r}: {nearest(name, list(paths))}")
    return paths[name.removesuffix(".yaml")]


def find_shown(name: str) -> Path:
    """Return the path of a recipe or an overlay by name, or of a YAML file.

    Raises:
        UsageError: if there is no such file or name; suggests the closest name.
    """
    if name in overlay_paths():
        return overlay_paths()[name]
    return Path(name) if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file() else find_recipe(name)
