"""Command lines: parsers that answer a mistake in one line, and the kinds of values that options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from .atomic import check_target
from .strict_json import parse_json

MOST = 2**53  # of anything that is counted
LARGEST_SEED = 2**32 - 1  # that NumPy's, Python's and torch's generators all take


class Parser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, naming the option, the value and the fix."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with code 2."""
        self.exit(2, f"{self.prog.split()[0]}: {message.removeprefix('argument ')}\n")


def at_least(low: int, most: int = MOST) -> Callable[[str], int]:
    """The kind of an option that takes a whole number of `low` or more, and of `most` at most."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} must be {low} or more")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text[:40]} must be {most} or less")
        return value

    return whole


def positive(text: str) -> float:
    """The kind of an option that takes a positive number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{value:g} must be positive")
    return value


def new_file(*endings: str) -> Callable[[str], Path]:
    """The kind of an option that takes a file to write, in a folder that exists, with one of these endings."""

    def path(text: str) -> Path:
        found = Path(text)
        try:
            check_target(found)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix("output: ")) from None
        if endings and found.suffix not in endings:
            *most, last = endings
            listed = f"{', '.join(most)} or {last}" if most else last
            raise argparse.ArgumentTypeError(f"'{found}' must end in {listed}")
        return found

    return path


def existing_file(text: str) -> Path:
    """The kind of an option that takes a file to read."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file '{text}'")
    return Path(text)


def existing_folder(text: str) -> Path:
    """The kind of an option that takes a folder to read."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder '{text}'")
    return Path(text)


def json_object(text: str) -> dict[str, Any]:
    """The kind of an option that takes settings as JSON."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} {error}" if "JSON" in str(error) else f"{error} in {text!r}"
        ) from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} must be a JSON object, as '{{\"lr\": 0.001}}'")
    return value


def with_file(message: str, arguments: argparse.Namespace) -> str:
    """A message with the scenario file that it speaks of, unless it speaks of a change on the command line.

    Args:
        message: Of a fault in a scenario.
        arguments: With `env`, and `set` where changes are taken.
    """
    env = str(getattr(arguments, "env", None))
    changed = tuple(field.partition("=")[0] for field in getattr(arguments, "set", None) or [])
    is_named = not env.endswith((".yaml", ".yml")) or env in message
    return message if is_named or (changed and message.startswith(changed)) else f"{env}: {message}"


def add_about(parser: argparse.ArgumentParser) -> None:
    """Let a program tell its version, and what a shell completes its command lines with."""
    parser.add_argument("--version", action="version", version=f"edge-experts {version('edge-experts')}")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        default=argparse.SUPPRESS,
        choices=("bash", "zsh", "tcsh"),
        help="print what this shell completes the command with",
    )


class _Completion(argparse.Action):
    """Prints a shell's completion of the whole command, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Called by argparse."""
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error("--print-completion: needs shtab: pip install 'edge-experts[completion]'")
        print(shtab.complete(parser, str(values)))
        parser.exit()


def command_of(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """The parser of one of a program's commands."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    found: argparse.ArgumentParser = commands.choices[name]
    return found


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace | int:
    """The arguments of a command line; the exit code where it asks for help or is not valid."""
    try:
        return parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
