"""Commands that look at models and recipes: list, info, show and copy."""

import argparse
from pathlib import Path

from zoo.cli.names import find_config, find_shown
from zoo.cli.verbs.command import Command, check_names_early, check_output
from zoo.errors import UsageError


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
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="image file for --batch or --lr (default: batch.png or lr.png in runs/RECIPE/TIME)",
    )


def _show(args: argparse.Namespace, settings: list[str]) -> int:
    if args.batch or args.lr:
        path = find_config(args.recipe)
        check_names_early([path], settings)
        check_output(args.output)
        if args.lr:
            from zoo.cli.show_lr import show_lr

            return show_lr(path, settings, args.output)
        from zoo.cli.show import show_batch

        return show_batch(path, settings, args.output)
    if args.output is not None:
        raise UsageError("--output needs --batch or --lr: to write a recipe to a file, use zoo copy")
    print(find_shown(args.recipe).read_text(encoding="utf-8"), end="")
    return 0


def _draws(args: argparse.Namespace) -> bool:
    return args.batch or args.lr


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


RECIPES = (
    Command("list", "list models with their measured scores", _list_arguments, _list),
    Command("info", "print the card of a model", _info_arguments, _info),
    Command("show", "print a recipe", _show_arguments, _show, _draws),
    Command("copy", "copy a recipe, to edit it", _copy_arguments, _copy),
)
