"""The table of commands: what each is called, which arguments it takes, and which function carries it out.

Nothing here imports a library that takes time: each function imports what it needs.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo.cli.names import find_checkpoint, find_config, find_shown, is_published, overlay_paths, recipe_paths
from zoo.errors import UsageError

_SETTINGS_EPILOG = """\
every setting of the recipe can be given by its path:
  --model.lr 3e-4  --model.optim.schedule cosine  --data.batch_size 256  --trainer.max_epochs 5
  --trainer.strategy, --trainer.precision, ...: any argument of Lightning's Trainer
  --trainer.callbacks+ '{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss}}'
  --checkpoint_every_n_steps N: keep a checkpoint every N optimizer steps beside the best and the last
  --wandb.project, .entity, .name, .group, .tags, .log_model: where it stands in Weights & Biases
see a recipe: zoo show RECIPE    make it your own: zoo copy RECIPE mine.yaml
your own classes in a file: ZOO_IMPORTS=my_package zoo fit -c mine.yaml"""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class Command(NamedTuple):
    """A command of `zoo`."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[str]], int]  # the arguments, and the settings beside them; returns the exit code
    takes_settings: Callable[[argparse.Namespace], bool] = lambda args: False
    epilog: str | None = None


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'mlp*'")


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
    parser.add_argument(
        "--batch", action="store_true", help="draw a training batch instead, or print its texts, as the model sees it"
    )
    parser.add_argument("-o", "--output", type=Path, help="with --batch: the picture's file; default: RECIPE_batch.png")


def _show(args: argparse.Namespace, settings: list[str]) -> int:
    if args.batch:
        path = find_config(args.recipe)
        _check_names([path], settings)
        from zoo.cli.show import show_batch

        return show_batch(path, settings, args.output)
    if args.output is not None:
        raise UsageError("--output is for --batch: a recipe is printed, or copied by zoo copy")
    print(find_shown(args.recipe).read_text(encoding="utf-8"), end="")
    return 0


def _copy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe")
    parser.add_argument("target", type=Path)


def _copy(args: argparse.Namespace, settings: list[str]) -> int:
    source = find_shown(args.recipe)
    target = args.target / source.name if args.target.is_dir() else args.target
    if target.exists():
        raise UsageError(f"{target} exists: choose another name, or remove it first")
    text = source.read_text(encoding="utf-8").replace(f"zoo fit -c {args.recipe} ", f"zoo fit -c {target} ")
    target.write_text(text, encoding="utf-8")
    print(f"wrote {target}\ntrain it: zoo fit -c {target}")
    return 0


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        default=[],
        metavar="RECIPE",
        help="recipe, overlay (trainer/bf16) or YAML file; later ones win",
    )
    parser.add_argument("--run_dir", type=Path, help="where everything is written (default: runs/<recipe>/<time>)")


def _add_ckpt_path(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--ckpt_path",
        type=Path,
        help="a checkpoint, such as RUN/checkpoints/best.ckpt, whose run's configuration is used without -c; or "
        "a file of zoo export --format safetensors, or the name of published weights (zoo list)",
    )


def _fit_arguments(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run directory, or from one of its checkpoints")


def _fit(args: argparse.Namespace, settings: list[str]) -> int:
    configs = [find_config(name) for name in args.config]
    if args.resume is not None and args.run_dir is not None:
        raise UsageError("--resume goes on in the run's own directory: leave --run_dir out")
    if args.resume is None:
        _need_config(args, configs)
        from zoo.training.run_dir import is_first_process

        if args.run_dir is not None and is_first_process() and (args.run_dir / "config.yaml").exists():
            raise UsageError(
                f"{args.run_dir} holds a run already: go on with --resume {args.run_dir}, or choose another --run_dir"
            )
    _check_names([*_own_config(args.resume), *configs], settings)
    _load_tracking()
    from zoo.cli import fit
    from zoo.cli.request import Request

    request = Request("fit", configs, settings, run_dir=args.run_dir, resume=args.resume)
    return fit.fit(request) if args.resume is None else fit.resume(request)


def _evaluate(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint, configs = _checkpoint_and_configs(args)
    _need_config(args, configs)
    _check_names(configs, settings)
    _load_tracking()
    from zoo.cli.evaluate import evaluate
    from zoo.cli.request import Request

    return evaluate(Request(args.command, configs, settings, run_dir=args.run_dir, ckpt_path=checkpoint))


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    _add_ckpt_path(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--images", type=Path, help="a picture, or a folder of them, in place of the test split")
    instead.add_argument("--text", metavar="FILE", help="a text per line of a file, or of standard input (-)")


def _predict(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint, configs = _checkpoint_and_configs(args)
    if args.images is None and args.text is None:
        _need_config(args, configs)
        _check_names(configs, settings)
        _load_tracking()
        from zoo.cli.evaluate import predict
        from zoo.cli.request import Request

        return predict(Request("predict", configs, settings, run_dir=args.run_dir, ckpt_path=checkpoint))
    option = "--images" if args.text is None else "--text"
    if checkpoint is None:
        raise UsageError(f"predict {option} needs --ckpt_path: a checkpoint, or the name of published weights")
    if ignored := [*settings, *(["-c"] if args.config else [])]:
        raise UsageError(f"predict {option} prepares its inputs as the checkpoint says: it does not take {ignored[0]!r}")
    from zoo.cli.predict import predict_files

    return predict_files(checkpoint, args.images, args.text, args.run_dir)


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--num", type=int, default=40, help="images, or points (default: 40)")
    parser.add_argument("--images", type=Path, help="a picture, or a folder of them, for a model that translates")
    parser.add_argument("--back", action="store_true", help="translate them from CycleGAN's second domain to its first")
    _add_generator(parser)


def _sample(args: argparse.Namespace, settings: list[str]) -> int:
    _at_least(1, num=args.num)
    _check_picture(args.output)
    from zoo.cli.sample import sample

    checkpoint = find_checkpoint(args.checkpoint)
    return sample(checkpoint, args.num, args.images, args.back, args.label, args.seed, args.output)


def _interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=4, help="of codes (default: 4)")
    parser.add_argument("--steps", type=int, default=10, help="images on the way, both ends included (default: 10)")
    parser.add_argument("--images", type=Path, help="go from picture to picture of a folder; default: drawn codes")
    _add_generator(parser)


def _interpolate(args: argparse.Namespace, settings: list[str]) -> int:
    _at_least(1, pairs=args.pairs)
    _at_least(2, steps=args.steps)
    _check_picture(args.output)
    from zoo.cli.sample import interpolate

    checkpoint = find_checkpoint(args.checkpoint)
    return interpolate(checkpoint, args.pairs, args.steps, args.images, args.label, args.seed, args.output)


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="such as RUN/checkpoints/best.ckpt, or published weights")
    parser.add_argument("--label", type=int, help="the class, for a conditional model; default: all in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="a .png; default: in the run's pictures")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="such as RUN/checkpoints/best.ckpt, or published weights")
    parser.add_argument("--format", choices=("onnx", "pt2", "safetensors"), required=True)
    parser.add_argument("-o", "--output", type=Path, help="default: beside the checkpoint")


def _export(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint = find_checkpoint(args.checkpoint)
    output = args.output
    if output is None and is_published(checkpoint):  # the installed package is no place to write to
        output = Path(f"{checkpoint.stem}.{args.format}")
    from zoo.cli.export import export

    return export(checkpoint, args.format, output)


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N-1 (default: 3)")
    parser.add_argument("--missing", action="store_true", help="every recipe whose score is missing or older than the recipe")


def _reproduce(args: argparse.Namespace, settings: list[str]) -> int:
    if args.missing == bool(args.recipe):
        raise UsageError("reproduce takes a recipe's name, or --missing")
    _at_least(1, seeds=args.seeds)
    from zoo.cli.reproduce import reproduce, reproduce_missing

    return reproduce_missing(args.seeds) if args.missing else reproduce(args.recipe, args.seeds)


def _claims_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="of one claim; default: all")
    parser.add_argument("--full", action="store_true", help="more seeds and longer; keeps the results beside the scripts")
    parser.add_argument("--list", action="store_true", help="only print the claims")


def _claims(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.claims import measure_claims, print_claims

    if args.list and (args.name or args.full):
        raise UsageError("claims --list prints all claims and measures none: leave the rest out")
    return print_claims() if args.list else measure_claims(args.name, args.full)


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say whether they are up to date")


def _generate(args: argparse.Namespace, settings: list[str]) -> int:
    from zoo.cli.generate import generate

    return generate(check_only=args.check)


def _always(args: argparse.Namespace) -> bool:
    return True


def _with_batch(args: argparse.Namespace) -> bool:
    return args.batch


COMMANDS = (
    Command("list", "models with their measured scores", _list_arguments, _list),
    Command("info", "a model's card", _info_arguments, _info),
    Command("show", "print a recipe", _show_arguments, _show, _with_batch),
    Command("copy", "copy a recipe to make it your own", _copy_arguments, _copy),
    Command("fit", "train a recipe, then test its best checkpoint", _fit_arguments, _fit, _always, _SETTINGS_EPILOG),
    Command("validate", "score a checkpoint on the validation split", _add_ckpt_path, _evaluate, _always, _SETTINGS_EPILOG),
    Command("test", "score a checkpoint on the test split", _add_ckpt_path, _evaluate, _always, _SETTINGS_EPILOG),
    Command("predict", "write a checkpoint's predictions", _predict_arguments, _predict, _always, _SETTINGS_EPILOG),
    Command("sample", "write images that a trained model makes up", _sample_arguments, _sample),
    Command("interpolate", "write images on the way from one code to another", _interpolate_arguments, _interpolate),
    Command("export", "write a checkpoint's network for use elsewhere, and check it", _export_arguments, _export),
    Command("reproduce", "measure a recipe's score and write it down", _reproduce_arguments, _reproduce),
    Command("claims", "measure what textbooks assert, and say whether it holds", _claims_arguments, _claims),
    Command("generate", "rewrite the catalog and the score tables from the results", _generate_arguments, _generate),
)


def _at_least(least: int, **given: int) -> None:
    for name, value in given.items():
        if value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")


def _check_picture(path: Path | None) -> None:
    """Refuse a file that no picture can be written to, before a model is loaded."""
    if path is not None and (path.is_dir() or path.suffix.lower() not in _PICTURES):
        raise UsageError(f"--output {path} is not the name of a picture: end it in .png")


def _checkpoint_and_configs(args: argparse.Namespace) -> tuple[Path | None, list[Path]]:
    """The checkpoint, and the configurations that are given; without one those of the checkpoint's run."""
    configs = [find_config(name) for name in args.config]
    if args.ckpt_path is None:
        return None, configs
    checkpoint = find_checkpoint(args.ckpt_path)
    return checkpoint, configs or _own_config(checkpoint)


def _own_config(run: Path | None) -> list[Path]:
    """The configuration of a run, given by its directory or by one of its checkpoints; none where there is no such file."""
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
    """Import, before torch, the part of W&B that each of its runs imports.

    Its classes look for their source in every module that is loaded: after torch that takes a second longer.
    """
    if os.environ.get("WANDB_MODE") != "disabled":
        import wandb.sdk.launch.inputs.internal  # noqa: F401


def _check_names(configs: list[Path], settings: list[str]) -> None:
    """Refuse settings that do not exist while that takes a moment only: torch and Lightning are imported afterwards."""
    from zoo.cli.settings import check_names, read_settings

    check_names([(path, read_settings(path)) for path in configs], settings)
