"""Entry point of the `zoo` command: parse the command line, run the command and report errors."""

import argparse
import errno
import io
import os
import re
import sys
import traceback
from typing import Any, NoReturn

from zoo.cli.commands import COMMANDS
from zoo.cli.names import nearest
from zoo.errors import NonFiniteError, UsageError, ZooError

# what the system refuses wherever a user's file is written or read: permissions, and space
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}


class _Parser(argparse.ArgumentParser):
    """Parser that reports errors in one line. It allows no abbreviations, which could hide settings of the recipe."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        if choice := re.search(r"argument command: invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message = f"no command {choice[1]!r}: {nearest(choice[1], re.findall(r'[a-z]+', choice[2]))}"
        raise UsageError(f"{message} (see {self.prog} --help)")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser for all commands."""
    parser = _Parser(
        prog="zoo", description="Classic deep learning models with recipes: list models, train recipes, export networks."
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
    """Run one command; returns 0, or 1 for a run that failed, or 2 for an invalid command.

    Errors that are written for users are printed in one line. Any other error is a bug and keeps its traceback.
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
        if not isinstance(error, ZooError) and error.errno not in _NOT_ALLOWED:
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
        help="print the traceback of errors",
    )


def _speaks(error: BaseException) -> bool:
    """Return whether this process prints an error: all raise the same ones, but a loss may be non-finite in one only."""
    from zoo.training.run_dir import is_first_process

    return is_first_process() or isinstance(error, NonFiniteError)


def _speak_utf8() -> None:
    """Print in UTF-8 with any locale, because cards contain characters that ASCII and cp1252 lack.

    Characters that cannot be encoded, such as half a surrogate pair in a file name, are escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
