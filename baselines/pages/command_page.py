"""The command line as a page, from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

INTRODUCTION = """# Command line

Two commands are installed: `edge-experts` measures, compares and shows; `rllib` trains. Each tells its options with
`--help`. Input that is not valid is refused in one line, before any work starts, and the exit code is 2."""


def command_page(*parsers: argparse.ArgumentParser) -> str:
    """Every command of some parsers with all its arguments, as Markdown."""
    lines = [INTRODUCTION, ""]
    for parser in parsers:
        for name, command, told in _commands(parser):
            lines += [f"## {parser.prog} {name}", "", f"{told[0].upper()}{told[1:]}.", ""]
            if command.usage:
                lines += ["```text", *(line.strip() for line in command.usage.split("\n")), "```", ""]
            arguments = [_argument(action) for action in command._actions if action.dest != "help"]
            lines += [*arguments, ""] if arguments else []
    return "\n".join(lines).rstrip() + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and help of every subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield from ((name, command, helps[name]) for name, command in action.choices.items())


def _argument(action: argparse.Action) -> str:
    """One line for an argument: how it is written, what it means, what holds if it is not given."""
    names = ", ".join(action.option_strings)
    value = "" if action.nargs == 0 else _value(action)
    told = [f"- `{' '.join(part for part in (names, value) if part)}`"]
    if action.help:
        told.append(action.help)
    if action.required and action.option_strings:
        told.append("must be given")
    if action.default and action.default != "{}" and "default" not in (action.help or ""):
        shown = " ".join(map(str, action.default)) if isinstance(action.default, list | tuple) else action.default
        told.append(f"`{shown}` by default")
    return f"{told[0]}: {'; '.join(told[1:])}." if len(told) > 1 else f"{told[0]}."


def _value(action: argparse.Action) -> str:
    choices = "|".join(map(str, action.choices)) if action.choices else None
    shown = str(action.metavar or choices or (action.dest if not action.option_strings else action.dest.upper()))
    return f"{shown} ..." if action.nargs in ("+", "*") else shown
