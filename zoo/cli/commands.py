"""Table of the commands: their names, arguments and functions.

The module itself imports no slow library; each function imports what it needs.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo.cli.names import find_checkpoint, find_config, find_shown, is_published, overlay_paths, recipe_paths
from zoo.errors import UsageError

_SETTINGS_EPILOG = """\
override any setting of the recipe by its dotted name:
  --model.lr 3e-4  --model.optim.schedule cosine  --data.batch_size 256  --trainer.max_epochs 5
  --trainer.strategy, --trainer.precision, ...: any argument of Lightning's Trainer
  --trainer.callbacks+ '{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss}}'
  --checkpoint_every_n_steps N: keep a checkpoint every N optimizer steps, in addition to the best and the last
  --ema 0.999: validate, save and test an exponential moving average of the weights
  --compile: compile the networks    --gradient_checkpointing: recompute activations in the backward pass, to save memory
  --wandb.project, .entity, .name, .group, .tags, .log_model: settings of the Weights & Biases run
show a recipe: zoo show RECIPE    copy it to edit it: zoo copy RECIPE mine.yaml
use classes from your own package: ZOO_IMPORTS=my_package zoo fit -c mine.yaml"""
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class Command(NamedTuple):
    """One command of `zoo`."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[str]], int]  # takes the arguments and the settings; returns the exit code
    takes_settings: Callable[[argparse.Namespace], bool] = lambda args: False
    epilog: str | None = None


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="pattern for model names, such as 'mlp*'")


def _list(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.catalog import print_list

    return print_list(args.pattern)


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")


def _info(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.catalog import print_info

    return print_info(args.model)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="recipe, overlay (trainer/bf16) or YAML file")
    drawn = parser.add_mutually_exclusive_group()
    drawn.add_argument(
        "--batch", action="store_true", help="draw (or, for texts, print) a training batch as the model receives it"
    )
    drawn.add_argument("--lr", action="store_true", help="draw the learning rate of each optimizer step")
    parser.add_argument("-o", "--output", type=Path, help="image file for --batch (default: RECIPE_batch.png) or --lr")


def _show(args: argparse.Namespace, settings: list[str]) -> int:
    if args.batch or args.lr:
        path = find_config(args.recipe)
        _check_names([path], settings)
        _check_output(args.output)
        if args.lr:
            from zoo.cli.show_lr import show_lr

            return show_lr(path, settings, args.output)
        from zoo.cli.show import show_batch

        return show_batch(path, settings, args.output)
    if args.output is not None:
        raise UsageError("--output needs --batch or --lr: to write a recipe to a file, use zoo copy")
    print(find_shown(args.recipe).read_text(encoding="utf-8"), end="")
    return 0


def _copy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe")
    parser.add_argument("target", type=Path)


def _copy(args: argparse.Namespace, settings: list[str]) -> int:
    source = find_shown(args.recipe)
    target = args.target / source.name if args.target.is_dir() else args.target
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: there is no folder {target.parent}")
    text = source.read_text(encoding="utf-8").replace(f"zoo fit -c {args.recipe} ", f"zoo fit -c {target} ")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{target} exists: choose another name, or remove it first") from error
    print(f"wrote {target}\ntrain it: zoo fit -c {target}")
    return 0


def _add_recipes(parser: argparse.ArgumentParser, description: str) -> None:
    parser.add_argument("-c", "--config", action="append", default=[], metavar="RECIPE", help=description)


def _add_config(parser: argparse.ArgumentParser) -> None:
    _add_recipes(parser, "recipe, overlay (trainer/bf16) or YAML file; can be repeated, and later files override earlier ones")
    parser.add_argument("--run_dir", type=Path, help="directory for all files of the run (default: runs/<recipe>/<time>)")


def _add_ckpt_path(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--ckpt_path",
        type=Path,
        help="checkpoint, such as RUN/checkpoints/best.ckpt (without -c, the configuration of its run is used), "
        "file written by zoo export --format safetensors, or name of published weights (see zoo list)",
    )


def _fit_arguments(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="continue a run, given by its directory or one of its checkpoints"
    )


def _fit(args: argparse.Namespace, settings: list[str]) -> int:
    configs = [find_config(name) for name in args.config]
    if args.resume is not None and args.run_dir is not None:
        raise UsageError("--resume continues in the directory of the run: leave --run_dir out")
    if args.resume is None:
        _need_config(args, configs)
        from zoo.training.run_dir import check_holds_no_run, is_first_process

        if args.run_dir is not None and is_first_process():
            check_holds_no_run(args.run_dir)
    _check_names([*_own_config(args.resume), *configs], settings)
    _load_tracking()
    from zoo.cli import fit
    from zoo.cli.context import Request

    request = Request("fit", configs, settings, run_dir=args.run_dir, resume=args.resume)
    return fit.fit(request) if args.resume is None else fit.resume(request)


def _lr_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="recipe or YAML file")
    parser.add_argument("--lowest", type=float, default=1e-6, help="learning rate of the first step (default: 1e-6)")
    parser.add_argument("--highest", type=float, default=10.0, help="learning rate of the last step (default: 10)")
    parser.add_argument("--steps", type=int, default=100, help="number of optimizer steps (default: 100)")
    parser.add_argument("--run_dir", type=Path, help="directory for lr.csv and lr.png (default: runs/<recipe>/<time>)")


def _lr(args: argparse.Namespace, settings: list[str]) -> int:
    path = find_config(args.recipe)
    _check_names([path], settings)
    from zoo.cli.lr import find_lr

    return find_lr(path, settings, args.run_dir, args.lowest, args.highest, args.steps)


def _evaluate(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint, configs = _checkpoint_and_configs(args)
    _need_config(args, configs)
    _check_names(configs, settings)
    _load_tracking()
    from zoo.cli.context import Request
    from zoo.cli.evaluate import evaluate

    tta = args.tta if args.command == "test" else None
    return evaluate(Request(args.command, configs, settings, run_dir=args.run_dir, ckpt_path=checkpoint, tta=tta))


def _test_arguments(parser: argparse.ArgumentParser) -> None:
    _add_ckpt_path(parser)
    parser.add_argument(
        "--tta",
        choices=("flip", "shifts", "five_crops"),
        help="test-time augmentation: average the probabilities of an image classifier over several views of each image",
    )


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    _test_arguments(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--images", type=Path, help="predict an image file or a folder of images instead of the test split")
    instead.add_argument("--text", metavar="FILE", help="predict each line of a text file, or of standard input (-)")


def _predict(args: argparse.Namespace, settings: list[str]) -> int:
    if args.images is None and args.text is None:
        checkpoint, configs = _checkpoint_and_configs(args)
        _need_config(args, configs)
        _check_names(configs, settings)
        _load_tracking()
        from zoo.cli.context import Request
        from zoo.cli.evaluate import predict

        return predict(Request("predict", configs, settings, run_dir=args.run_dir, ckpt_path=checkpoint, tta=args.tta))
    option = "--images" if args.text is None else "--text"
    if args.ckpt_path is None:
        raise UsageError(f"predict {option} needs --ckpt_path: a checkpoint or the name of published weights")
    if args.tta is not None and args.text is not None:
        raise UsageError("--tta averages over views of images: leave it out with --text")
    if ignored := [*settings, *(["-c"] if args.config else [])]:
        raise UsageError(f"predict {option} prepares its inputs as the checkpoint specifies: it does not take {ignored[0]!r}")
    from zoo.cli.predict import predict_files

    return predict_files(find_checkpoint(args.ckpt_path), args.images, args.text, args.run_dir, args.tta)


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--num", type=int, default=40, help="number of images or points (default: 40)")
    parser.add_argument("--images", type=Path, help="image file or folder of images to translate, for an image-to-image model")
    parser.add_argument("--back", action="store_true", help="translate from the second domain of a CycleGAN to the first")
    _add_generator(parser)


def _sample(args: argparse.Namespace, settings: list[str]) -> int:
    _at_least(1, num=args.num)
    _check_image(args.output)
    from zoo.cli.sample import sample

    checkpoint = find_checkpoint(args.checkpoint)
    return sample(checkpoint, args.num, args.images, args.back, args.label, args.seed, args.output)


def _interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=4, help="number of pairs of codes (default: 4)")
    parser.add_argument("--steps", type=int, default=10, help="images per row, including both ends (default: 10)")
    parser.add_argument(
        "--images", type=Path, help="interpolate between the images of a folder (default: between random codes)"
    )
    _add_generator(parser)


def _interpolate(args: argparse.Namespace, settings: list[str]) -> int:
    _at_least(1, pairs=args.pairs)
    _at_least(2, steps=args.steps)
    _check_image(args.output)
    from zoo.cli.sample import interpolate

    checkpoint = find_checkpoint(args.checkpoint)
    return interpolate(checkpoint, args.pairs, args.steps, args.images, args.label, args.seed, args.output)


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint, such as RUN/checkpoints/best.ckpt, or name of published weights"
    )
    parser.add_argument("--label", type=int, help="class label for a conditional model (default: all classes in turn)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("-o", "--output", type=Path, help="image file (default: in RUN/pictures)")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint, such as RUN/checkpoints/best.ckpt, or name of published weights"
    )
    parser.add_argument("--format", choices=("onnx", "pt2", "safetensors"), required=True)
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: next to the checkpoint)")


def _export(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint = find_checkpoint(args.checkpoint)
    output = args.output
    _check_output(output)
    # Published weights lie in the installed package, which may be read-only.
    if output is None and is_published(checkpoint):
        output = Path(f"{checkpoint.stem}.{args.format}")
    from zoo.cli.export import export

    return export(checkpoint, args.format, output)


def _average_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoints", type=Path, nargs="+", metavar="CKPT", help="two or more checkpoints of one run, oldest first"
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: average.ckpt next to the last checkpoint)")
    _add_recipes(parser, "recipe with the training data, for networks with BatchNorm (default: the configuration of the run)")


def _average(args: argparse.Namespace, settings: list[str]) -> int:
    if len(args.checkpoints) < 2:
        raise UsageError("average needs two or more checkpoints: keep several of a run with --checkpoint_every_n_steps N")
    _check_output(args.output)
    paths = [find_checkpoint(path) for path in args.checkpoints]
    configs = [find_config(name) for name in args.config] or _own_config(paths[-1])
    _check_names(configs, settings)
    from zoo.cli.average import average

    return average(paths, configs, settings, args.output or paths[-1].with_name("average.ckpt"))


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="name of a recipe; with --missing also a pattern, such as '*_ring'")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        help="number of seeds from 0 on (3), or a list with a comma (1,2 or 4,); default: 3, or seed 0 with --check",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--missing", action="store_true", help="measure all scores that are missing or out of date")
    what.add_argument("--check", action="store_true", help="compare with the recorded score, and write nothing")
    what.add_argument(
        "--behaviour",
        action="store_true",
        help="only record the current behaviour of the recipe, or of all recipes; scores of another behaviour become stale",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --missing: only print what would be measured")
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of parallel runs; if more than one, each uses one thread (default: 1)"
    )


def _seeds(text: str) -> int | list[int]:
    """Parse a number of seeds, or a list of seeds if the text has a comma."""
    if "," not in text:
        return int(text)
    return [int(seed) for seed in text.removesuffix(",").split(",")]


def _reproduce(args: argparse.Namespace, settings: list[str]) -> int:
    if not (args.missing or args.behaviour or args.recipe):
        raise UsageError("reproduce needs the name of a recipe, --missing or --behaviour")
    if args.dry_run and not args.missing:
        raise UsageError("--dry-run needs --missing")
    if args.missing and isinstance(args.seeds, list):
        raise UsageError("--missing takes a maximum number of seeds, not a list")
    given = ([0] if args.check else 3) if args.seeds is None else args.seeds
    seeds = given if isinstance(given, list) else list(range(given))
    _at_least(1, seeds=len(seeds), jobs=args.jobs)
    _at_least(0, seeds=min(seeds))
    from zoo.cli import reproduce

    if args.behaviour:
        return reproduce.behave(args.recipe)
    if args.check:
        return reproduce.check(args.recipe, seeds)
    if args.missing:
        most, pattern = sys.maxsize if args.seeds is None else len(seeds), args.recipe or "*"
        return reproduce.print_missing(pattern, most) if args.dry_run else reproduce.reproduce_missing(pattern, most, args.jobs)
    return reproduce.reproduce(args.recipe, seeds, args.jobs)


def _claims_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="name of a claim (default: all claims)")
    parser.add_argument("--full", action="store_true", help="more seeds and longer; keeps the results beside the scripts")
    parser.add_argument("--list", action="store_true", help="only list the claims")


def _claims(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.claims import measure_claims, print_claims

    if args.list and (args.name or args.full):
        raise UsageError("claims --list takes no other arguments: it lists all claims and measures none")
    return print_claims() if args.list else measure_claims(args.name, args.full)


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only check whether the files are up to date")


def _generate(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.generate import generate

    return generate(check_only=args.check)


def _always(args: argparse.Namespace) -> bool:
    return True


def _with_batch(args: argparse.Namespace) -> bool:
    return args.batch or args.lr


COMMANDS = (
    Command("list", "list models with their measured scores", _list_arguments, _list),
    Command("info", "print the card of a model", _info_arguments, _info),
    Command("show", "print a recipe", _show_arguments, _show, _with_batch),
    Command("copy", "copy a recipe, to edit it", _copy_arguments, _copy),
    Command("fit", "train a recipe, then test its best checkpoint", _fit_arguments, _fit, _always, _SETTINGS_EPILOG),
    Command(
        "lr", "find a learning rate for a recipe: train with rising ones until the loss diverges", _lr_arguments, _lr, _always
    ),
    Command("validate", "score a checkpoint on the validation split", _add_ckpt_path, _evaluate, _always, _SETTINGS_EPILOG),
    Command("test", "score a checkpoint on the test split", _test_arguments, _evaluate, _always, _SETTINGS_EPILOG),
    Command("predict", "write the predictions of a checkpoint", _predict_arguments, _predict, _always, _SETTINGS_EPILOG),
    Command("sample", "write samples from a generative model", _sample_arguments, _sample),
    Command("interpolate", "write interpolations between latent codes", _interpolate_arguments, _interpolate),
    Command("export", "export the network of a checkpoint to another format, and verify it", _export_arguments, _export),
    Command("average", "average the weights of checkpoints", _average_arguments, _average, _always),
    Command("reproduce", "measure and record the score of a recipe", _reproduce_arguments, _reproduce),
    Command("claims", "test textbook claims by experiment", _claims_arguments, _claims),
    Command("generate", "regenerate the catalog and the score tables from the results", _generate_arguments, _generate),
)


def _at_least(minimum: int, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise UsageError(f"--{name} must be at least {minimum}, got {value}")


def _check_output(path: Path | None) -> None:
    """Refuse an output that is a folder or lies in a file. Missing folders are created when the output is written."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder: give the name of a file")
    if files := [parent for parent in path.parents if parent.is_file()]:
        raise UsageError(f"cannot write {path}: {files[0]} is a file, not a folder")


def _check_image(path: Path | None) -> None:
    """Refuse an output that cannot be an image file, before a model is loaded."""
    if path is not None and (path.is_dir() or path.suffix.lower() not in _IMAGE_SUFFIXES):
        raise UsageError(f"--output {path} is not the name of an image file: end it in .png")
    _check_output(path)


def _checkpoint_and_configs(args: argparse.Namespace) -> tuple[Path | None, list[Path]]:
    """Return the checkpoint and the configurations; without `-c`, the configuration of the checkpoint's run."""
    configs = [find_config(name) for name in args.config]
    if args.ckpt_path is None:
        return None, configs
    checkpoint = find_checkpoint(args.ckpt_path)
    return checkpoint, configs or _own_config(checkpoint)


def _own_config(run: Path | None) -> list[Path]:
    """Return the configuration of a run, given by its directory or by one of its checkpoints; empty if it has none."""
    if run is None:
        return []
    path = (run if run.is_dir() else run.parent.parent) / "config.yaml"
    return [path] if path.is_file() else []


def _need_config(args: argparse.Namespace, configs: list[Path]) -> None:
    if not configs:
        raise UsageError(
            f"{args.command} needs -c RECIPE: one of {', '.join(recipe_paths())}, or a file; "
            f"overlays: {', '.join(overlay_paths())}"
        )


def _load_tracking() -> None:
    """Import a part of W&B before torch.

    Every W&B run imports it. Its classes search all loaded modules for their source, which takes a second longer once torch
    is loaded.
    """
    if os.environ.get("WANDB_MODE") != "disabled":
        import wandb.sdk.launch.inputs.internal  # noqa: F401  # imported for its effect


def _check_names(configs: list[Path], settings: list[str]) -> None:
    """Refuse unknown settings early, before torch and Lightning are imported."""
    from zoo.cli.settings import check_names, read_settings

    check_names([(path, read_settings(path)) for path in configs], settings)
