"""`edge-experts new`: a commented template to begin with, which `validate` finds sound."""

from __future__ import annotations

import argparse
import csv
import io
import re
from importlib import resources
from pathlib import Path

from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.tables.reading import read_sheet

HELP = "write a commented template of a table, a scenario or an environment"
KINDS = ("table", "scenario", "env")
EXPERTS = ("gemma-7b-it", "gpt-3.5-turbo-0125", "reka-flash")
COLUMNS = ("prompt", "category", "expert", "quality", "output_bits", "work_units", "n_ratings")
PROMPTS = 20  # of each category


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("kind", choices=KINDS, metavar="|".join(KINDS))
    command.add_argument("name", metavar="NAME", help="of the new files, in this folder; letters, digits, - and _")


def run(arguments: argparse.Namespace) -> None:
    """Write the files, and say what comes next.

    Raises:
        ValueError: for a name that no id or class can have, and if a file of the name is there.
    """
    kind, name = arguments.kind, arguments.name
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise ValueError(f"NAME: '{name}' must begin with a letter and have letters, digits, - and _ only")
    files, command = {"table": _table, "scenario": _scenario, "env": _env}[kind](name)
    if there := [file for file in files if Path(file).exists()]:
        raise ValueError(f"NAME: {', '.join(there)} is there already, and is left alone; take another name")
    for file, text in files.items():
        write_text(Path(file), text)
    print(f"wrote {', '.join(files)}\nnext: {command}")


def _table(name: str) -> tuple[dict[str, str], str]:
    """Answers of three experts to some prompts of the shipped table, what they say, and a market of them."""
    scores, experts = read_sheet("text"), read_sheet("experts")
    kept: dict[str, list[str]] = {}
    for row in scores.rows:
        prompts = kept.setdefault(row["category"], [])
        if row["prompt"] not in prompts and len(prompts) < PROMPTS:
            prompts.append(row["prompt"])
    answers = [r for r in scores.rows if r["expert"] in EXPERTS and r["prompt"] in kept[r["category"]]]
    files = {
        f"{name}.csv": _csv(COLUMNS, answers),
        f"{name}.yaml": _template("table.yaml", name),
        f"{name}_experts.csv": _csv(experts.columns, [row for row in experts.rows if row["expert"] in EXPERTS]),
        f"{name}_scenario.yaml": _template("table_scenario.yaml", name),
    }
    return files, f"edge-experts validate {name}_scenario.yaml"


def _scenario(name: str) -> tuple[dict[str, str], str]:
    return {f"{name}.yaml": _template("scenario.yaml", name)}, f"edge-experts validate {name}.yaml"


def _env(name: str) -> tuple[dict[str, str], str]:
    title = "".join(word[:1].upper() + word[1:] for word in re.split("[-_]", name))
    text = _template("env.py", name).replace("NewEnv", title)
    return {f"{name}.py": text}, f"edge-experts validate {name}.py:{title}"


def _template(file: str, name: str) -> str:
    text = resources.files("edge_experts.configs.templates").joinpath(file).read_text("utf-8")
    return re.sub(r"\bNAME(?=\b|_)", name, text)


def _csv(columns: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    out = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    out.writeheader()
    out.writerows(rows)
    return text.getvalue()
