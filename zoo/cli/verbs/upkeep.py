"""Commands that measure the recipes and keep the documentation up to date: reproduce, claims and generate."""

import argparse
import sys

from zoo.cli.verbs.command import Command, at_least
from zoo.errors import UsageError


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
    at_least(1, seeds=len(seeds), jobs=args.jobs)
    at_least(0, seeds=min(seeds))
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


UPKEEP = (
    Command("reproduce", "measure and record the score of a recipe", _reproduce_arguments, _reproduce),
    Command("claims", "test textbook claims by experiment", _claims_arguments, _claims),
    Command("generate", "regenerate the catalog and the score tables from the results", _generate_arguments, _generate),
)
