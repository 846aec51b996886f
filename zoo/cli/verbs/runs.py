"""Commands that train and evaluate: fit, lr, validate, test and predict."""

import argparse
import os
from pathlib import Path

from zoo.cli.names import find_checkpoint, find_config, overlay_paths, recipe_paths
from zoo.cli.verbs.command import (
    SETTINGS_EPILOG,
    Command,
    add_recipes,
    always,
    check_names_early,
    own_config,
)
from zoo.errors import UsageError


def _add_config(parser: argparse.ArgumentParser) -> None:
    add_recipes(parser, "recipe, overlay (trainer/bf16) or YAML file; can be repeated, and later files override earlier ones")
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
    check_names_early([*own_config(args.resume), *configs], settings)
    _announce(f"training {' + '.join(args.config)}" if args.resume is None else f"resuming {args.resume}")
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
    check_names_early([path], settings)
    _announce(f"testing learning rates for {args.recipe}")
    from zoo.cli.lr import find_lr

    return find_lr(path, settings, args.run_dir, args.lowest, args.highest, args.steps)


def _evaluate(args: argparse.Namespace, settings: list[str]) -> int:
    checkpoint, configs = _checkpoint_and_configs(args)
    _need_config(args, configs)
    check_names_early(configs, settings)
    _announce(f"{'validating' if args.command == 'validate' else 'testing'} {checkpoint or ' + '.join(args.config)}")
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
        check_names_early(configs, settings)
        _announce(f"predicting with {checkpoint or ' + '.join(args.config)}")
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


def _checkpoint_and_configs(args: argparse.Namespace) -> tuple[Path | None, list[Path]]:
    """Return the checkpoint and the configurations; without `-c`, the configuration of the checkpoint's run."""
    configs = [find_config(name) for name in args.config]
    if args.ckpt_path is None:
        return None, configs
    checkpoint = find_checkpoint(args.ckpt_path)
    return checkpoint, configs or own_config(checkpoint)


def _need_config(args: argparse.Namespace, configs: list[Path]) -> None:
    if not configs:
        raise UsageError(
            f"{args.command} needs -c RECIPE: one of {', '.join(recipe_paths())}, or a file; "
            f"overlays: {', '.join(overlay_paths())}"
        )


def _announce(what: str) -> None:
    """Say what starts. It takes ten seconds to import torch and Lightning, in which nothing else is printed."""
    from zoo.training.run_dir import is_first_process

    if is_first_process():
        print(f"{what} ...", flush=True)


def _load_tracking() -> None:
    """Import a part of W&B before torch.

    Every W&B run imports it. Its classes search all loaded modules for their source, which takes a second longer once torch
    is loaded.
    """
    if os.environ.get("WANDB_MODE") != "disabled":
        import wandb.sdk.launch.inputs.internal  # noqa: F401  # imported for its effect


RUNS = (
    Command("fit", "train a recipe, then test its best checkpoint", _fit_arguments, _fit, always, SETTINGS_EPILOG),
    Command(
        "lr", "find a learning rate for a recipe: train with rising ones until the loss diverges", _lr_arguments, _lr, always
    ),
    Command("validate", "score a checkpoint on the validation split", _add_ckpt_path, _evaluate, always, SETTINGS_EPILOG),
    Command("test", "score a checkpoint on the test split", _test_arguments, _evaluate, always, SETTINGS_EPILOG),
    Command("predict", "write the predictions of a checkpoint", _predict_arguments, _predict, always, SETTINGS_EPILOG),
)
