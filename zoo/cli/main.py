"""The front of the `zoo` command: plain argparse, no torch, so that it answers at once."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from zoo.cli.names import find_checkpoint, find_config, find_shown, nearest, overlay_paths, recipe_paths
from zoo.errors import UsageError, ZooError

_RUN_EPILOG = """\
every setting of the recipe can be given by its path:
  --model.lr 3e-4  --model.optim.schedule cosine  --data.batch_size 256  --trainer.max_epochs 5
  --trainer.strategy, --trainer.precision, ...: any argument of Lightning's Trainer
  --trainer.callbacks+ '{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/loss}}'
  --checkpoint_every_n_steps N: keep a checkpoint every N optimizer steps beside the best and the last
  --wandb.project, .entity, .name, .group, .tags, .log_model: where it stands in Weights & Biases
see a recipe: zoo show RECIPE    make it your own: zoo copy RECIPE mine.yaml
your own classes in a file: ZOO_IMPORTS=my_package zoo fit -c mine.yaml"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and takes no abbreviation for an argument of the recipe's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        if choice := re.search(r"argument command: invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message = f"no command {choice[1]!r}: {nearest(choice[1], re.findall(r'[a-z]+', choice[2]))}"
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line of the front."""
    parser = _Parser(
        prog="zoo", description="Classic deep learning, ready to train: list what is there, fit a recipe, export the result."
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    listing = commands.add_parser("list", help="models with their measured scores")
    listing.add_argument("pattern", nargs="?", default="*", help="such as 'mlp*'")
    commands.add_parser("info", help="a model's card").add_argument("model")
    show = commands.add_parser("show", help="print a recipe")
    show.add_argument("recipe")
    show.add_argument(
        "--batch", action="store_true", help="draw a training batch instead, or print its texts, as the model sees it"
    )
    show.add_argument("-o", "--output", type=Path, help="of --batch, where it is a picture; default: RECIPE_batch.png")
    copy = commands.add_parser("copy", help="copy a recipe to make it your own")
    copy.add_argument("recipe")
    copy.add_argument("target", type=Path)

    for name, help_text in {
        "fit": "train a recipe, then test its best checkpoint",
        "validate": "score a checkpoint on the validation split",
        "test": "score a checkpoint on the test split",
        "predict": "write a checkpoint's predictions",
    }.items():
        run = commands.add_parser(
            name,
            help=help_text,
            description=help_text,
            epilog=_RUN_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        run.add_argument(
            "-c",
            "--config",
            action="append",
            default=[],
            metavar="RECIPE",
            help="recipe, overlay (trainer/bf16) or YAML file; later ones win",
        )
        run.add_argument("--run_dir", type=Path, help="where everything goes (default: runs/<recipe>/<time>)")
        if name == "fit":
            run.add_argument(
                "--resume", type=Path, metavar="RUN", help="go on with a run directory, or from one of its checkpoints"
            )
        else:
            run.add_argument(
                "--ckpt_path",
                type=Path,
                help="a checkpoint, such as RUN/checkpoints/best.ckpt, whose run's configuration is taken without -c; or "
                "a file of zoo export --format safetensors, or the name of published weights (zoo list)",
            )
        if name == "predict":
            instead = run.add_mutually_exclusive_group()
            instead.add_argument("--images", type=Path, help="a picture, or a folder of them, in place of the test split")
            instead.add_argument("--text", metavar="FILE", help="a text per line of a file, or of standard input (-)")

    sample = commands.add_parser("sample", help="write images that a trained model makes up")
    sample.add_argument("-n", "--num", type=int, default=40, help="images, or points (default: 40)")
    sample.add_argument("--images", type=Path, help="a picture, or a folder of them, for a model that translates")
    sample.add_argument("--back", action="store_true", help="translate them from CycleGAN's second domain to its first")
    interpolate = commands.add_parser("interpolate", help="write images on the way from one code to another")
    interpolate.add_argument("--pairs", type=int, default=4, help="of codes (default: 4)")
    interpolate.add_argument("--steps", type=int, default=10, help="images on the way, both ends included (default: 10)")
    interpolate.add_argument("--images", type=Path, help="go from picture to picture of a folder; default: drawn codes")
    for command in (sample, interpolate):
        command.add_argument("checkpoint", type=Path, help="such as RUN/checkpoints/best.ckpt, or published weights")
        command.add_argument("--label", type=int, help="the class, for a conditional model; default: all in turn")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("-o", "--output", type=Path, help="a .png; default: in the run's pictures")

    export = commands.add_parser("export", help="write a checkpoint's network for use elsewhere, and check it")
    export.add_argument("checkpoint", type=Path)
    export.add_argument("--format", choices=("onnx", "pt2", "safetensors"), required=True)
    export.add_argument("-o", "--output", type=Path, help="default: beside the checkpoint")

    reproduce = commands.add_parser("reproduce", help="measure a recipe's score and write it down")
    reproduce.add_argument("recipe", nargs="?")
    reproduce.add_argument("--seeds", type=int, default=3, help="seeds 0 to N-1 (default: 3)")
    reproduce.add_argument(
        "--missing", action="store_true", help="every recipe whose score is missing or older than the recipe"
    )

    claims = commands.add_parser("claims", help="measure what textbooks assert, and say whether it holds")
    claims.add_argument("name", nargs="?", help="of one claim; default: all")
    claims.add_argument("--full", action="store_true", help="more seeds and longer; keeps the results beside the scripts")
    claims.add_argument("--list", action="store_true", help="only print the claims")

    generate = commands.add_parser("generate", help="rewrite the catalog and the score tables from the results")
    generate.add_argument("--check", action="store_true", help="only say whether they are up to date")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 1 for a run that failed, or 2 for a command that makes no sense."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(argv)
    except UsageError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nzoo: stopped. Go on with: zoo fit --resume RUN", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ZooError, OSError) as error:
        written_for_a_user = isinstance(error, ZooError) or error.filename  # the system's own errors name the user's file
        if os.environ.get("ZOO_TRACEBACK") or not written_for_a_user:
            raise
        print(f"zoo: {error}", file=sys.stderr)
        return 1


def _dispatch(argv: list[str]) -> int:
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    takes_settings = args.command in ("fit", "validate", "test", "predict") or (args.command == "show" and args.batch)
    if rest and not takes_settings:
        raise UsageError(f"{args.command} does not take {rest[0]!r}: see zoo {args.command} --help")
    match args.command:
        case "list":
            from zoo.cli.catalog import print_list

            return print_list(args.pattern)
        case "info":
            from zoo.cli.catalog import print_info

            return print_info(args.model)
        case "show":
            if args.batch:
                from zoo.cli.show import show_batch

                return show_batch(find_config(args.recipe), rest, args.output)
            if args.output is not None:
                raise UsageError("--output is for --batch: a recipe is printed, or copied by zoo copy")
            print(find_shown(args.recipe).read_text(), end="")
            return 0
        case "copy":
            return _copy(args.recipe, args.target)
        case "sample":
            from zoo.cli.sample import sample

            _at_least(1, num=args.num)
            checkpoint = find_checkpoint(args.checkpoint)
            return sample(checkpoint, args.num, args.images, args.back, args.label, args.seed, args.output)
        case "interpolate":
            from zoo.cli.sample import interpolate

            _at_least(1, pairs=args.pairs)
            _at_least(2, steps=args.steps)
            checkpoint = find_checkpoint(args.checkpoint)
            return interpolate(checkpoint, args.pairs, args.steps, args.images, args.label, args.seed, args.output)
        case "export":
            from zoo.cli.export import export

            return export(args.checkpoint, args.format, args.output)
        case "reproduce":
            from zoo.cli.reproduce import reproduce, reproduce_missing

            if args.missing == bool(args.recipe):
                raise UsageError("reproduce takes a recipe's name, or --missing")
            _at_least(1, seeds=args.seeds)
            return reproduce_missing(args.seeds) if args.missing else reproduce(args.recipe, args.seeds)
        case "claims":
            from zoo.cli.claims import measure_claims, print_claims

            if args.list and (args.name or args.full):
                raise UsageError("claims --list prints all claims and measures none: leave the rest out")
            return print_claims() if args.list else measure_claims(args.name, args.full)
        case "generate":
            from zoo.cli.generate import generate

            return generate(check_only=args.check)
        case _:
            return _run(args, rest)


def _at_least(least: int, **given: int) -> None:
    for name, value in given.items():
        if value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}")


def _run(args: argparse.Namespace, rest: list[str]) -> int:
    configs = [find_config(name) for name in args.config]
    resume, checkpoint = getattr(args, "resume", None), getattr(args, "ckpt_path", None)
    if resume is not None and args.run_dir is not None:
        raise UsageError("--resume goes on in the run's own directory: leave --run_dir out")
    if checkpoint is not None:
        checkpoint = find_checkpoint(checkpoint)
        if not configs and (own := checkpoint.parent.parent / "config.yaml").is_file():
            configs = [own]
    images, text = getattr(args, "images", None), getattr(args, "text", None)
    if images is not None or text is not None:
        option = "--images" if text is None else "--text"
        if checkpoint is None:
            raise UsageError(f"predict {option} needs --ckpt_path: a checkpoint, or the name of published weights")
        if ignored := [*rest, *(["-c"] if args.config else [])]:
            raise UsageError(f"predict {option} prepares its inputs as the checkpoint says: it does not take {ignored[0]!r}")
    elif not configs and resume is None:
        raise UsageError(
            f"{args.command} needs -c RECIPE: one of {', '.join(recipe_paths())}, or a file; "
            f"overlays: {', '.join(overlay_paths())}"
        )
    from zoo.cli.run import Request, run

    return run(
        Request(
            command=args.command,
            configs=configs,
            overrides=rest,
            run_dir=args.run_dir,
            resume=resume,
            ckpt_path=checkpoint,
            images=images,
            text=text,
        )
    )


def _copy(recipe: str, target: Path) -> int:
    source = find_shown(recipe)
    target = target / source.name if target.is_dir() else target
    if target.exists():
        raise UsageError(f"{target} exists: choose another name, or remove it first")
    target.write_text(source.read_text().replace(f"zoo fit -c {recipe} ", f"zoo fit -c {target} "))
    print(f"wrote {target}\ntrain it: zoo fit -c {target}")
    return 0
