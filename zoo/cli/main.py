"""The front of the `zoo` command: it parses, runs one command, and prints what went wrong by the error's class."""

import argparse
import io
import os
import re
import sys
import traceback
from typing import Any, NoReturn

from zoo.cli.commands import COMMANDS
from zoo.cli.names import nearest
from zoo.errors import NonFiniteError, UsageError, ZooError


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
    _add_traceback(parser)
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for command in COMMANDS:
        added = commands.add_parser(
            command.name,
            help=command.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=command.help,
            epilog=command.epilog,
        )
        command.add_arguments(added)
        _add_traceback(added)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 1 for a run that failed, or 2 for a command that makes no sense.

    An error that was written for a user is printed in one line. Any other is a bug, and leaves with its traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    _speak_utf8()
    try:
        return _run(argv)
    except KeyboardInterrupt:
        print("\nzoo: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ZooError, OSError) as error:
        if not isinstance(error, ZooError) and error.filename is None:  # the system's own errors name the user's file
            raise
        if "--traceback" in argv:
            traceback.print_exc()
        elif _speaks(error):
            print(f"zoo: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _run(argv: list[str]) -> int:
    args, rest = build_parser().parse_known_args(argv)
    command = next(command for command in COMMANDS if command.name == args.command)
    if rest and not command.takes_settings(args):
        raise UsageError(f"{command.name} does not take {rest[0]!r}: see zoo {command.name} --help")
    return command.run(args, rest)


def _add_traceback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=argparse.SUPPRESS,
        help="after an error, print where in the code it was raised",
    )


def _speaks(error: BaseException) -> bool:
    """Whether this process prints an error: all processes of a run meet the same ones, but a loss is lost in one of them."""
    from zoo.training.run_dir import is_first_process

    return is_first_process() or isinstance(error, NonFiniteError)


def _speak_utf8() -> None:
    """Print names and cards in UTF-8, whatever the locale: ASCII and cp1252 lack some of their characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8")
