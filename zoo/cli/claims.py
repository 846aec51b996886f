"""`zoo claims`: test textbook claims by experiment.

Each claim is a script in recipes/claims/FAMILY, with its results next to it. Its docstring describes the arms and the
criterion. It defines

- `CLAIM`, the sentence that it tests
- `CONTROLS`, the rows with the supposed cause removed: the name of a column, and the values that it has in these rows
- `FAST`, `FULL` and `SMALLEST`, the sizes of the measurement by default, with `--full`, and in tests
- `measure(full)`, which returns a `Claim`

This file does not import torch, so that claims are listed quickly.
"""

import argparse
import ast
import csv
import json
import time
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zoo.cli.catalog import print_columns
from zoo.cli.names import ROOT, nearest
from zoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from lightning import Trainer
    from matplotlib.figure import Figure

CLAIMS = ROOT / "claims"
PICTURES = ROOT.parent / "docs" / "claims"  # pictures of full measurements; only in a checkout
Row = dict[str, Any]  # text, numbers, or None if a column does not apply
Verdict = Literal["holds", "holds in part", "does not hold", "cannot tell"]


class Claim(NamedTuple):
    """The measurement of a claim. A refuted claim is a valid result."""

    claim: str  # the claim in one sentence
    measured: str  # the finding in one line
    verdict: Verdict
    seeds: list[int]  # empty for a closed form
    rows: list[Row]  # the rows of the table, including controls; all have the same keys
    figure: "Figure"


def judge(holds: bool, in_part: bool = False, trained: bool = True) -> Verdict:
    """Return the verdict on a claim.

    Args:
        holds: whether the claim holds as stated.
        in_part: whether a part of it holds. Ignored if all of it does.
        trained: whether the arms trained that the claim compares. If not, the measurement cannot tell.
    """
    if not trained:
        return "cannot tell"
    return "holds" if holds else "holds in part" if in_part else "does not hold"


def claim_paths() -> dict[str, Path]:
    """Return the scripts of all claims by stem."""
    return {path.stem: path for path in sorted(CLAIMS.rglob("*.py")) if path.stem != "__init__"}


def results_path(script: Path) -> Path:
    """Return the path of the last full measurement, next to the script."""
    return script.with_suffix(".results.json")


def description(script: Path) -> str:
    """Read the docstring of a script without its first line and the line of its command."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return "\n\n".join(part for part in text.split("\n\n")[1:] if not part.startswith("python "))


def sentence(script: Path) -> str:
    """Read the claim of a script without running it.

    Raises:
        ZooError: if the script does not define `CLAIM`.
    """
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "CLAIM":
            return str(ast.literal_eval(node.value))
    raise ZooError(f'{script} states no claim: add a line CLAIM = "..." with the sentence that it tests')


def print_claims() -> int:
    """Print the names and sentences of all claims."""
    print_columns([("claim", "asserts"), *((name, sentence(path)) for name, path in claim_paths().items())])
    return 0


def measure_claims(name: str | None, full: bool) -> int:
    """Measure one claim or all claims, and print the findings; returns 0, also if a claim is refuted.

    Raises:
        UsageError: for an unknown name; suggests the closest name.
    """
    paths = claim_paths()
    if name is not None and name not in paths:
        raise UsageError(f"no claim {name!r}: {nearest(name, list(paths))}")
    chosen = paths if name is None else {name: paths[name]}
    lines = [("claim", "verdict", "time")]
    for stem, path in chosen.items():
        start = time.perf_counter()
        claim = measure_claim(path, full)
        lines.append((stem, claim.verdict, f"{time.perf_counter() - start:.0f} s"))
    if name is None:
        print_columns(lines)
    return 0


def main(script: str) -> int:
    """Run the command line of a single script: python recipes/claims/FAMILY/NAME.py [--full]."""
    parser = argparse.ArgumentParser(description=sentence(Path(script)))
    parser.add_argument(
        "--full", action="store_true", help="more seeds and longer training; writes the results next to the script"
    )
    measure_claim(Path(script).resolve(), parser.parse_args().full)
    return 0


def bare_trainer(max_epochs: int, max_steps: int = -1, limit_test_batches: int | None = None) -> "Trainer":
    """Build a trainer for an arm of a claim: on the CPU, without validation, loggers, checkpoints and output."""
    from lightning import Trainer

    return Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        max_steps=max_steps,
        limit_val_batches=0,
        limit_test_batches=limit_test_batches,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def measure_claim(script: Path, full: bool) -> Claim:
    """Run one script, print the findings, and write table.csv, picture.png and result.json to runs/claims/<name>/<time>/.

    With `full`, the result is also written next to the script, and the picture to docs/claims.
    """
    import torch
    from lightning import Trainer

    from zoo.training.files import write_text
    from zoo.training.provenance import commit_of, hardware
    from zoo.training.quiet import keep_quiet
    from zoo.training.run_dir import new_run_dir

    keep_quiet()
    print(f"{script.stem}: {sentence(script)}", flush=True)
    facts: dict[str, Any] = {"command": f"zoo claims {script.stem}" + (" --full" if full else "")}
    if full:
        facts["commit"] = commit_of(ROOT / "__init__.py")  # Before the run, because the code may change meanwhile.
    with warnings.catch_warnings():
        # Claims are small and run on the CPU on purpose. The warning is in lightning/pytorch/trainer/setup.py.
        warnings.filterwarnings("ignore", "GPU available but not used")
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    start = time.perf_counter()
    claim: Claim = _load(script).measure(full)
    result = {
        "claim": claim.claim,
        "measured": claim.measured,
        "verdict": claim.verdict,
        "rows": [{name: _rounded(value) for name, value in row.items()} for row in claim.rows],
        "seeds": claim.seeds,
        **facts,
        "seconds": round(time.perf_counter() - start, 1),
        "hardware": hardware(trainer),
        "versions": {"torch": torch.__version__.split("+")[0]},
        "date": time.strftime("%Y-%m-%d"),
    }
    folder = new_run_dir(f"claims/{script.stem}")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(claim.rows[0]))
        writer.writeheader()
        writer.writerows(claim.rows)
    claim.figure.savefig(folder / "picture.png", dpi=120)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_text(folder / "result.json", text)
    written = [folder]
    if full:
        write_text(results_path(script), text)
        written.append(results_path(script))
        if PICTURES.parent.is_dir():
            written.append(_keep_picture(folder / "picture.png", PICTURES / f"{script.stem}.png"))
    print_columns([tuple(claim.rows[0]), *(tuple(map(_shown, row.values())) for row in claim.rows)])
    seeds = f" (seeds {', '.join(map(str, claim.seeds))})" if claim.seeds else ""
    found = {"measured": claim.measured, "verdict": claim.verdict + seeds}
    lines = [*found.items(), *(("written", str(path)) for path in written)]
    lines += [("W&B", line) for line in _track(script.stem, folder, result)]
    print_columns(lines)
    print(flush=True)
    return claim


def _keep_picture(picture: Path, target: Path) -> Path:
    """Copy a plot with 128 colours, which takes a third of the space and looks the same."""
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    return target


def _load(script: Path) -> Any:
    spec = spec_from_file_location(f"recipes.claims.{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _track(name: str, folder: Path, result: dict[str, Any]) -> list[str]:
    """Log a claim as a W&B run; returns the commands to view it."""
    from lightning.pytorch.loggers import WandbLogger

    from zoo.training.tracking import describe_wandb, make_loggers, start_or_go_offline

    logger = make_loggers(folder, name, "claim", {"group": "claims"})[0]  # without the CSV logger: there is table.csv already
    assert isinstance(logger, WandbLogger)
    start_or_go_offline(logger)
    logger.log_hyperparams({key: value for key, value in result.items() if key not in ("measured", "verdict", "rows")})
    logger.log_table("table", columns=list(result["rows"][0]), data=[list(row.values()) for row in result["rows"]])
    logger.log_image("picture", [str(folder / "picture.png")])
    logger.experiment.summary.update({"measured": result["measured"], "verdict": result["verdict"]})
    lines = describe_wandb(logger)
    logger.experiment.finish()  # the next claim is a new run
    return lines


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
