"""`edge-experts record`: make a quality table from language models."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs.io.command_line import positive

from ...markdown import table

HELP = "make a quality table from language models: gate, experts, fuser and judges"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("plan", type=Path, metavar="PLAN.yaml", help="which models answer and judge which prompts")
    command.add_argument("--save", type=Path, required=True, metavar="DIR", help="where calls and tables go")
    command.add_argument("--resume", action="store_true", help="go on with the calls that DIR holds")
    command.add_argument(
        "--budget-usd", type=positive, metavar="X", help="make no call that could exceed so many dollars in all"
    )
    command.add_argument("--dry-run", action="store_true", help="say what it would ask and cost, and ask nobody")
    command.add_argument(
        "--offline", action="store_true", help="ask a small model on this machine; its table is marked smoke"
    )
    command.add_argument("--keep-text", action="store_true", help="also write prompts and answers, to texts.jsonl")


def run(arguments: argparse.Namespace) -> None:
    """Record, or say what it would take."""
    if arguments.dry_run:
        _estimate(arguments.plan)
        return
    from edge_experts.recording.run import record_table

    outcome = record_table(
        arguments.plan,
        arguments.save,
        resume=arguments.resume,
        budget_usd=arguments.budget_usd,
        offline=arguments.offline,
        keep_text=arguments.keep_text,
        progress=True,
    )
    columns = ["role", "model", "calls", "tokens_in", "tokens_out", "usd", "usd_lost"]
    print(table(columns, [[_shown(line[name]) for name in columns] for line in outcome.spent], is_padded=True))
    for flag in outcome.flags:
        print(f"beware: {flag}")
    print(f"wrote {', '.join(map(str, outcome.files))}")


def _estimate(plan: Path) -> None:
    from edge_experts.recording.estimate import Line, estimate
    from edge_experts.recording.run import load

    found, prompts, _ = load(plan)
    lines = estimate(found, prompts)
    whole = Line("all", "", *(sum(column) for column in list(zip(*lines, strict=True))[2:]))
    rows = [[_shown(value) for value in line] for line in (*lines, whole)]
    print(table(["role", "model", "calls", "tokens in", "tokens out", "dollars"], rows, is_padded=True))
    print("With replies as long as max_tokens allows. Judges without log-probabilities take three calls a score;")
    print("questions that are asked again come on top.")


def _shown(value: str | int | float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
