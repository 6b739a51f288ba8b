"""`edge-experts validate`: find what is wrong with an environment or a scenario."""

from __future__ import annotations

import argparse

from edge_experts.envs.io.command_line import at_least

HELP = "find what is wrong with an environment or a scenario"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("env", metavar="ID|YAML|module:Class|file.py:Class")
    command.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="of the episodes that are played")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 if there are faults."""
    from ...validation.runner import FAULT, findings_table, validate

    findings = validate(arguments.env, arguments.seed, progress=True)
    print(findings_table(findings))
    return int(any(finding.verdict == FAULT for finding in findings))
