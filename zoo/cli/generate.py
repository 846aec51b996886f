"""`zoo generate`: the index, and the score tables in cards, docs and README, from cards and results."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from zoo.cli.catalog import INDEX, ZOO, Entry, Score, params_text, score_text
from zoo.cli.names import recipe_paths
from zoo.cli.results import summarise
from zoo.training.links import import_class
from zoo.training.run import write_text

ROOT = ZOO.parent


def generate(check_only: bool) -> int:
    """Write whatever is out of date, or with `check_only` name it; returns 1 if a check found something."""
    stale = [(path, text) for path, text in generated_files().items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check_only:
            print(f"out of date: {path.relative_to(ROOT)} (run: zoo generate)", file=sys.stderr)
        else:
            write_text(path, text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and check_only else 0


def generated_files() -> dict[Path, str]:
    """Every generated file with the text it ought to have."""
    models = [_entry(card) for card in sorted(ZOO.glob("*/*.md"))]
    if len({entry["name"] for entry in models}) < len(models):
        raise ValueError(f"two cards share a name: {sorted(entry['name'] for entry in models)}")
    files = {INDEX: json.dumps({"models": models}, indent=1) + "\n"}
    for entry in models:
        card = ZOO / entry["card"]
        if "<!-- scores -->\n" not in card.read_text() or "<!-- /scores -->" not in card.read_text():
            raise ValueError(f"{card} has no lines <!-- scores --> and <!-- /scores -->: its scores go between them")
        files[card] = _fill(card.read_text(), "scores", _table(entry["scores"]))
    readme = ROOT / "README.md"
    if readme.exists():  # in a checkout
        files[readme] = _fill(readme.read_text(), "catalog", _catalog_table(models, "zoo/"))
    for page in sorted((ROOT / "docs").glob("*.md")):  # one per family
        of_family = [entry for entry in models if Path(entry["card"]).parts[0] == page.stem]
        files[page] = _fill(page.read_text(), "catalog", _catalog_table(of_family, "../zoo/"))
    return files


def _entry(card: Path) -> Entry:
    """A card's model, built without memory for its weights.

    Raises:
        ValueError: naming the card and what is wrong with it.
    """
    front = yaml.safe_load(card.read_text().split("---\n", 2)[1])
    if missing := [name for name in ("name", "class_path", "task", "counted_at") if name not in front]:
        raise ValueError(f"{card}: its front matter has no {missing[0]!r} (see zoo/mlp/mlp.md)")
    try:
        model_class = import_class(front["class_path"])
        with torch.device("meta"):
            model = model_class(**front["counted_at"])
    except (AttributeError, ImportError) as error:
        raise ValueError(
            f"{card}: cannot import {front['class_path']} ({error}): is it in _HOMES of zoo/__init__.py?"
        ) from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{card}: cannot build {front['class_path']} with its counted_at ({error})") from error
    return Entry(
        name=front["name"],
        class_path=front["class_path"],
        task=front["task"],
        card=str(card.relative_to(ZOO)),
        num_params=sum(parameter.numel() for parameter in model.parameters()),
        counted_at=front["counted_at"],
        scores=_scores(front["class_path"], model_class),
    )


def _scores(class_path: str, model_class: Any) -> list[Score]:
    scores = []
    for path in recipe_paths().values():
        settings = yaml.safe_load(path.read_text())
        if settings["model"]["class_path"] == class_path:
            scores.append(summarise(path, model_class.headline, settings))
    return scores


def _fill(text: str, name: str, table: str) -> str:
    """Replace what stands between <!-- name --> and <!-- /name -->; a text without them stays as it is."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda match: f"{match[1]}{table}{match[2]}", text, flags=re.DOTALL
    )


def _table(scores: list[Score]) -> str:
    lines = ["| recipe | data | parameters | score | time | hardware |", "|---|---|---|---|---|---|"]
    for score in scores:
        time = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
        measured = f"{params_text(score)} | {score_text(score)} | {time} | {score['hardware']}"
        lines.append(f"| `{score['recipe']}` | {score['data']} | {measured} |")
    return "\n".join(lines) + "\n"


def _catalog_table(models: list[Entry], to_cards: str) -> str:
    lines = ["| model | recipe | data | parameters | score | time |", "|---|---|---|---|---|---|"]
    for entry in models:
        for score in entry["scores"]:
            time = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
            model = f"[{entry['name']}]({to_cards}{entry['card']})"
            measured = f"{params_text(score)} | {score_text(score)} | {time}"
            lines.append(f"| {model} | `{score['recipe']}` | {score['data']} | {measured} |")
    return "\n".join(lines) + "\n"
