"""`zoo generate`: write the index and the score tables in cards, docs and README from cards and results."""

import inspect
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from zoo.cli.catalog import (
    INDEX,
    ZOO,
    Entry,
    LayerSees,
    Score,
    Weights,
    params_text,
    reference_text,
    results_text,
    score_text,
)
from zoo.cli.claims import CLAIMS, PICTURES, claim_paths, description, results_path
from zoo.cli.names import WEIGHTS, find_recipe, recipe_paths
from zoo.cli.results import current_results, summarise
from zoo.cli.settings import read_settings
from zoo.errors import ZooError
from zoo.nn.receptive_field import receptive_fields
from zoo.tasks.adversarial.base import Adversarial
from zoo.training.checkpoint import read_checkpoint
from zoo.training.counting import count_parameters
from zoo.training.files import write_text
from zoo.training.initial_weights import without_initial_weights
from zoo.training.links import import_class

ROOT = ZOO.parent
ASSERTIONS = CLAIMS / "assertions.yaml"
RESULTS = "results"  # the page with all models; every other page covers one family
Recipes = dict[Path, Any]  # the settings of each recipe


def generate(check_only: bool) -> int:
    """Write the files that are out of date; with `check_only`, list them and return 1 if there are any."""
    stale = [
        (path, text)
        for path, text in generated_files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        if check_only:
            print(f"out of date: {path.relative_to(ROOT)} (run: zoo generate)", file=sys.stderr)
        else:
            write_text(path, text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and check_only else 0


def generated_files() -> dict[Path, str]:
    """Return all generated files with their up-to-date text."""
    cards = [card for card in sorted(ZOO.glob("*/*.md")) if card.parent != WEIGHTS]
    recipes = {path: read_settings(path) for path in recipe_paths().values()}
    models = [entry for card in cards for entry in _entries(card, recipes)]
    if len({entry["name"] for entry in models}) < len(models):
        raise ZooError(f"two cards share a name: {sorted(entry['name'] for entry in models)}")
    recorded = {path: read_checkpoint(path) for path in sorted(WEIGHTS.glob("*.safetensors"))}
    trained = [_weights(path, checkpoint, recipes) for path, checkpoint in recorded.items()]
    files = {INDEX: json.dumps({"models": models, "weights": trained}, indent=1) + "\n"}
    for card in cards:
        text, in_card = card.read_text(encoding="utf-8"), [entry for entry in models if ZOO / entry["card"] == card]
        if "<!-- scores -->\n" not in text or "<!-- /scores -->" not in text:
            raise ZooError(f"{card} lacks the lines <!-- scores --> and <!-- /scores -->, between which its scores are written")
        files[card] = _fill(text, "scores", _table([score for entry in in_card for score in entry["scores"]]))
        files[card] = _fill(files[card], "variants", _variants_table(in_card))
    for item, checkpoint in zip(trained, recorded.values(), strict=True):
        card = ZOO / item["card"]
        files[card] = _fill(card.read_text(encoding="utf-8"), "facts", _facts_table(item, checkpoint))
    pages = sorted((ROOT / "docs").glob("*.md"))
    readme = ROOT / "README.md"
    if readme.exists():  # only in a checkout
        files[readme] = _fill(readme.read_text(encoding="utf-8"), "families", _families_table(pages, models))
    for page in pages:
        on_page = [entry for entry in models if page.stem == RESULTS or Path(entry["card"]).parts[0] == page.stem]
        text = _fill(page.read_text(encoding="utf-8"), "catalog", _catalog_table(on_page, "../zoo/"))
        text = _fill(text, "weights", _weights_table(trained, "../zoo/"))
        text = _fill_metrics(text, [score["recipe"] for entry in on_page for score in entry["scores"]])
        files[page] = _fill_claims(_fill(_fill_calibration(text), "claims", _claims_table(page.stem)))
    return files


def _entries(card: Path, recipes: Recipes) -> list[Entry]:
    """Build the models of a card on the meta device: one model, or one for each entry of `variants`.

    Raises:
        ZooError: if the card is invalid.
    """
    front = yaml.safe_load(card.read_text(encoding="utf-8").split("---\n", 2)[1])
    if missing := [name for name in ("name", "class_path", "task", "counted_at") if name not in front]:
        raise ZooError(f"{card}: its front matter has no {missing[0]!r} (see zoo/mlp/mlp.md)")
    variants, argument = front.get("variants", {front["name"]: {}}), front.get("argument")
    if "variants" in front and argument is None:
        raise ZooError(f"{card}: `variants` need an `argument`, which assigns recipes to them, in the front matter")
    if lacking := [name for name, arguments in variants.items() if argument and argument not in arguments]:
        raise ZooError(f"{card}: variant {lacking[0]} has no {argument!r}, the argument that assigns recipes to variants")
    return [_entry(card, front, name, {**front["counted_at"], **own}, recipes) for name, own in variants.items()]


def _entry(card: Path, front: dict[str, Any], name: str, arguments: dict[str, Any], recipes: Recipes) -> Entry:
    try:
        model_class = import_class(front["class_path"])
        with torch.device("meta"):
            model = model_class(**arguments)
    except (AttributeError, ImportError) as error:
        raise ZooError(f"{card}: cannot import {front['class_path']} ({error}): is it in HOMES of zoo/__init__.py?") from error
    except (TypeError, ValueError) as error:
        raise ZooError(f"{card}: cannot build {front['class_path']} with its counted_at ({error})") from error
    # For a GAN, measure the discriminator if its `features` are sequential.
    net = dict(model.discriminator.named_children()).get("features") if isinstance(model, Adversarial) else model.net
    return Entry(
        name=name,
        class_path=front["class_path"],
        task=front["task"],
        card=str(card.relative_to(ZOO)),
        num_params=count_parameters(model),
        counted_at=arguments,
        tested_at={**arguments, **front.get("tested_at", {})},
        fields=_fields(net, arguments["input_shape"]) if net and any(isinstance(m, nn.Conv2d) for m in net.modules()) else [],
        scores=_scores(front["class_path"], model_class, front.get("argument"), arguments, recipes),
    )


def _fields(net: nn.Module, input_shape: list[int]) -> list[LayerSees]:
    """Compute the receptive field at the last layer of each resolution."""
    last = {row.maps: row for row in receptive_fields(net, input_shape) if row.maps != (1, 1)}

    def text(pair: tuple[int, int]) -> str:
        return f"{pair[0]}x{pair[1]}"

    return [LayerSees(layer=r.layer, maps=text(r.maps), jump=text(r.jump), field=text(r.field)) for r in last.values()]


def _weights(path: Path, recorded: dict[str, Any], recipes: Recipes) -> Weights:
    """Describe a file of published weights.

    Raises:
        ZooError: if it has no card, or was not exported from a finished run of a recipe of the zoo.
    """
    run, card = recorded["run"], path.with_suffix(".md")
    if not card.exists() or not run.get("results"):
        raise ZooError(f"{path}: expected a card {card.name} next to it, and an export from a finished run")
    settings = {recipe.stem: settings for recipe, settings in recipes.items()}
    if (recipe := run.get("recipe")) not in settings:
        raise ZooError(f"{path}: the zoo has no recipe {recipe!r}, so the weights cannot be reproduced")
    with torch.device("meta"), without_initial_weights():
        model = import_class(recorded["class_path"])(**recorded["hyper_parameters"])
    return Weights(
        name=path.stem,
        class_path=recorded["class_path"],
        card=str(card.relative_to(ZOO)),
        num_params=count_parameters(model),
        num_bytes=path.stat().st_size,
        recipe=recipe,
        data=settings[recipe]["data"]["class_path"].rsplit(".", 1)[-1],
        results=run["results"],
    )


def _scores(
    class_path: str, model_class: Any, argument: str | None, arguments: dict[str, Any], recipes: Recipes
) -> list[Score]:
    """Return the scores of the recipes of a class; for a variant, of the recipes with its value of `argument`."""
    default = inspect.signature(model_class).parameters[argument].default if argument else None
    scores = []
    for path, settings in recipes.items():
        if settings["model"]["class_path"] != class_path:
            continue
        if argument is None or settings["model"].get("init_args", {}).get(argument, default) == arguments[argument]:
            scores.append(summarise(path, model_class.headline, settings))
    return scores


def _fill(text: str, name: str, table: str) -> str:
    """Replace the text between <!-- name --> and <!-- /name -->, if the markers exist."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda match: f"{match[1]}{table}{match[2]}", text, flags=re.DOTALL
    )


def _table(scores: list[Score]) -> str:
    """Write the scores of a card, and why a score is below its baseline."""
    lines = ["| recipe | data | parameters | score | baseline | published | time | hardware |", "|---" * 8 + "|"]
    for score in scores:
        lines.append(f"| `{score['recipe']}` | {score['data']} | {_measured(score)} | {score['hardware']} |")
    for score in scores:
        if score["below_baseline"] and score["explanation"]:
            lines += ["", f"`{score['recipe']}` is below its baseline: {score['explanation']}"]
    return "\n".join(lines) + "\n"


def _measured(score: Score) -> str:
    """Write the cells that every table of scores has: parameters, score, baseline, published, time."""
    time = f"{score['seconds']:.0f} s" if score["mean"] is not None else ""
    compared = f"{reference_text(score['baseline'])} | {reference_text(score['published'])}"
    return f"{params_text(score)} | {score_text(score)} | {compared} | {time}"


def _catalog_table(models: list[Entry], to_cards: str) -> str:
    lines = ["| model | recipe | data | parameters | score | baseline | published | time |", "|---" * 8 + "|"]
    for entry in models:
        for score in entry["scores"]:
            model = f"[{entry['name']}]({to_cards}{entry['card']})"
            lines.append(f"| {model} | `{score['recipe']}` | {score['data']} | {_measured(score)} |")
    return "\n".join(lines) + "\n"


def _families_table(pages: list[Path], models: list[Entry]) -> str:
    """Write a row for each page with a comment `<!-- best: RECIPE -->`.

    Raises:
        ZooError: if a page names a recipe that does not exist.
    """
    scores = {score["recipe"]: score for entry in models for score in entry["scores"]}
    lines = ["| family | best recipe | score | baseline | published |", "|---" * 5 + "|"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        if not (best := re.search(r"<!-- best: (\w+) -->", text)):
            continue
        if best[1] not in scores:
            raise ZooError(f"{page} names the recipe {best[1]!r}, which does not exist")
        score = scores[best[1]]
        compared = f"{reference_text(score['baseline'])} | {reference_text(score['published'])}"
        title = text.partition("\n")[0].removeprefix("# ")
        lines.append(f"| [{title}](docs/{page.name}) | `{best[1]}` | {score_text(score)} | {compared} |")
    return "\n".join(lines) + "\n"


def _fill_metrics(text: str, recipes: list[str]) -> str:
    """Fill the tables between <!-- metrics NAME ... --> and <!-- /metrics --> with means over seeds.

    A table has a row for each recipe that measured the first metric.
    """

    def table(names: list[str]) -> str:
        lines = [f"| recipe | {' | '.join(f'`{name}`' for name in names)} |", "|---" * (len(names) + 1) + "|"]
        for recipe in recipes:
            results = [result["metrics"] for result in current_results(find_recipe(recipe)).results]
            found = [[metrics[f"test/{name}"] for metrics in results if f"test/{name}" in metrics] for name in names]
            if found[0]:
                cells = [f"{statistics.mean(values):.4g}" if values else "" for values in found]
                lines.append(f"| `{recipe}` | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    pattern = r"(<!-- metrics ([\w@ ]+) -->\n).*?(<!-- /metrics -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{table(match[2].split())}{match[3]}", text, flags=re.DOTALL)


def _fill_calibration(text: str) -> str:
    """Fill the tables between <!-- calibration NETWORK --> and <!-- /calibration --> with the last results of calibrate_fd."""
    path = ROOT / "benchmarks" / "calibrate_fd.results.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    latest = {result["extractor"]: result["scores"] for result in map(json.loads, lines)}

    def table(extractor: str) -> str:
        if extractor not in latest:
            raise ZooError(f"{path} has no results for {extractor}: run benchmarks/calibrate_fd.py --extractors {extractor}")
        rows = latest[extractor]
        names = list(next(iter(rows.values())))
        lines = [f"| images | {' | '.join(f'`{name}`' for name in names)} |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {kind} | {' | '.join(f'{row[name]:.3g}' for name in names)} |" for kind, row in rows.items()]
        return "\n".join(lines) + "\n"

    pattern = r"(<!-- calibration (\w+) -->\n).*?(<!-- /calibration -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{table(match[2])}{match[3]}", text, flags=re.DOTALL)


def _claims_of(family: str) -> dict[Path, Any]:
    """Return the results of the last `zoo claims --full` about a family, by the paths of the scripts."""
    results = {path: results_path(path) for path in claim_paths().values() if path.parent.name == family}
    return {path: json.loads(result.read_text(encoding="utf-8")) for path, result in results.items() if result.exists()}


def _claims_table(family: str) -> str:
    """Write the claims about a family with their verdicts."""
    lines = ["| claim | measured | verdict |", "|---|---|---|"]
    lines += [f"| {claim['claim']} | {claim['measured']} | {claim['verdict']} |" for claim in _claims_of(family).values()]
    return "\n".join(lines) + "\n"


def _fill_claims(text: str) -> str:
    """Fill the sections between <!-- measured FAMILY --> and <!-- /measured -->, and the table <!-- assertions -->."""

    def section(path: Path, claim: dict[str, Any]) -> str:
        seeds = f"{len(claim['seeds'])} seeds, " if claim["seeds"] else ""
        picture = PICTURES / f"{path.stem}.png"
        lines = [f"### {path.stem}", f"**{claim['claim']}** Verdict: **{claim['verdict']}**.", description(path)]
        lines += [f"Measured (`{claim['command']}`, {seeds}{claim['seconds']:.0f} s): {claim['measured']}."]
        lines += [f"![{path.stem}](claims/{picture.name})"] if picture.exists() else []
        return "\n\n".join(lines) + "\n"

    def sections(match: re.Match[str]) -> str:
        return match[1] + "\n" + "\n".join(section(*item) for item in _claims_of(match[2]).items()) + "\n" + match[3]

    text = re.sub(r"(<!-- measured (\w+) -->\n).*?(<!-- /measured -->)", sections, text, flags=re.DOTALL)
    return _fill(text, "assertions", _assertions_table()) if "<!-- assertions -->" in text else text


def _assertions_table() -> str:
    """Write what the reference asserts, chapter by chapter, with the claim, recipe or test that decides it."""
    results = {
        path.stem: claim for path in claim_paths().values() for claim in [_claims_of(path.parent.name).get(path)] if claim
    }

    def decided(assertion: dict[str, Any]) -> str:
        claims = [f"[{name}](#{name}): {results[name]['verdict']}" for name in assertion.get("claims", []) if name in results]
        recipes = [f"`{name}`" for name in assertion.get("recipes", [])]
        return "; ".join([*claims, *recipes, *([assertion["reason"]] if "reason" in assertion else [])])

    lines: list[str] = []
    for chapter in yaml.safe_load(ASSERTIONS.read_text(encoding="utf-8")):
        lines += ["", f"### {chapter['chapter']}", "", "| assertion | measured by | test |", "|---|---|---|"]
        for assertion in chapter["assertions"]:
            tests = "; ".join(f"`{test}`" for test in assertion.get("tests", []))
            lines.append(f"| {assertion['says']} | {decided(assertion)} | {tests} |")
    return "\n".join(lines) + "\n"


def _variants_table(models: list[Entry]) -> str:
    lines = ["| name | parameters |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{entry['name']}` | {entry['num_params']:,} |" for entry in models)]) + "\n"


def _facts_table(item: Weights, recorded: dict[str, Any]) -> str:
    run, data = recorded["run"], recorded["data"]
    facts = {
        "class": f"`{item['class_path']}`",
        "arguments": ", ".join(f"{name}={value}" for name, value in recorded["hyper_parameters"].items() if value is not None),
        "parameters": f"{item['num_params']:,}",
        "trained by": f"`{run['commands'][0]}`, {run['seconds']:.0f} s on {run['hardware']}, torch {run['versions']['torch']}",
        "scores": ", ".join(f"{name} {value:.4f}" for name, value in run["results"].items()),
        "inputs": _inputs(data),
        "classes": ", ".join(data["class_names"]),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in facts.items())]) + "\n"


def _inputs(data: dict[str, Any]) -> str:
    """Describe how to prepare new inputs."""
    if "tokenizer_json" in data:
        return f"up to {data['max_length']} tokens, by the tokenizer in the file"
    return f"pixels in [0, 1], then mean {data['mean']}, deviation {data['std']} per channel"


def _weights_table(trained: list[Weights], to_cards: str) -> str:
    lines = ["| weights | data | parameters | score |", "|---|---|---|---|"]
    for item in trained:
        lines.append(
            f"| [`{item['name']}`]({to_cards}{item['card']}) | {item['data']} | {item['num_params']:,} | {results_text(item)} |"
        )
    return "\n".join(lines) + "\n"
