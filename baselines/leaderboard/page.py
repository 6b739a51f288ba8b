"""The leaderboard's page, the README's table, and what every preset says it reached: text, from the results alone."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ..evaluation.metrics import mean_interval
from ..markdown import full
from . import tables
from .data import CONTROLS, MIXTURE, Leaderboard, bare
from .stale import origins

BEGIN, END = "<!-- leaderboard: made by `edge-experts report` -->", "<!-- end of leaderboard -->"
INTRODUCTION = """Made by `edge-experts report` from the files in `bench/`, one for each run, which `edge-experts bench`
writes; each holds its command, versions, commit, scenario and table hashes. Normalised score: random is 0, the
reference 1 (on markets it is not proven to be one). All scores are of evaluation episodes, which no training
run sees; nothing was tuned on them or on held-out twins. *Heuristics* are in italics.

A trained policy may play its most likely actions or draw them, as in training. Which it does was chosen for each run on
validation episodes, apart from both; the columns *most likely* and *drawn* show either. Drawing pays where many agents
share a policy, who herd if all of them take its most likely action.

Tables by environment give mean and Student's 95 % interval over training seeds; those over all environments the
interquartile mean (IQM) and the other estimators of Agarwal et al. (NeurIPS 2021) with intervals of the stratified
bootstrap over runs, which are too narrow where there are only three. *After N CPU-s*: of the last checkpoint within the
processor time that PPO takes for the same steps."""
DEVIATORS = """All agents keep to a trained policy but one, which is trained by PPO on its private reward (`edge-experts
exploit`). Its gain, measured on episodes apart from those that chose the best start, is a lower bound of what a best
reply gains. The policies were trained for the mean reward of all, so that what is good for one alone was never
rewarded."""
REACHED = "Reached on evaluation episodes, mean and 95 % interval over the seeds (0 random, 1 reference):"


def _stale(board: Leaderboard) -> list[str]:
    """What is not of this version, if anything: lines."""
    if not board.stale:
        return []
    return ["**Not of this version:**", "", *(f"- {name}: {reason}" for name, reason in board.stale.items()), ""]


def page(board: Leaderboard, images: str = "images") -> str:
    """The whole leaderboard as Markdown.

    Args:
        board: The results.
        images: Folder of the figures, as links see it.
    """
    lines = [
        "# Leaderboard",
        "",
        INTRODUCTION,
        "",
        origins(board.results),
        "",
        *_stale(board),
        f"![Scores with intervals]({images}/bench_scores.png)",
        "",
        "## All environments",
        "",
        tables.scores_table(board),
        "",
        "The same with other estimators over all environments:",
        "",
        tables.overall_table(board),
        "",
        f"![Performance profiles]({images}/bench_profile.png)",
        "",
    ]
    for env in board.envs:
        name = bare(env)
        lines += [f"## {env}", "", tables.env_table(board, env), ""]
        lines += [f"![Scores over steps and time]({images}/bench_curves_{name}.png)", ""]
        lines += ["Welfare, fairness and service:", "", tables.measures_table(board, env), ""]
        if next(iter(board.cells[env].values()))[0]["heldout"]:
            lines += ["Held-out twins, never trained on:", "", tables.heldout_table(board, env), ""]
    if any(MIXTURE in cells and any(c in cells for c in CONTROLS) for cells in board.cells.values()):
        lines += ["## Does the mixture help?", "", tables.mixture_table(board), ""]
        lines += [
            "What the routers do; mutual information between branch and what a user's request is about or where it",
            "goes, of the entropy of that, in nats:",
            "",
            tables.router_table(board),
            "",
        ]
        lines += [
            f"![Which branch gets what on {env}]({images}/bench_routers_{bare(env)}.png)\n"
            for env in board.envs
            if any(cells[0].get("router") for cells in board.cells[env].values())
        ]
    if deviators := [game for game in board.games.values() if "deviations" in game]:
        lines += ["## Deviators", "", DEVIATORS, "", tables.deviators_table(board), ""]
        lines += [f"{_how(game)}\n" for game in deviators]
    if matrices := [game for game in board.games.values() if "matrix" in game]:
        lines += [
            "## Cross-play",
            "",
            "Normalised welfare when every second agent of each role plays another policy.",
            "",
        ]
        lines += [f"{_how(game)}\n\n{tables.crossplay_table(board, game)}\n" for game in matrices]
    return "\n".join(lines).rstrip() + "\n"


def _how(game: dict[str, Any]) -> str:
    """Where a game was played, on how many episodes, how checkpoints played, and the command if it was noted."""
    plays = "draw their actions" if game["explore"] else "take their most likely actions"
    told = f"{game['env']}: {game['episodes']} episodes, checkpoints {plays}"
    told += f"; {game['steps']:,} steps from each of {game['starts']} starts" if "starts" in game else ""
    return told + (f"; `{game['command']}`." if "command" in game else ".")


def digest(board: Leaderboard) -> str:
    """A fingerprint of all results."""
    return hashlib.sha256(json.dumps(board.cells, sort_keys=True).encode()).hexdigest()[:16]


def with_block(text: str, block: str) -> str:
    """A text with its block between `BEGIN` and `END` replaced.

    Raises:
        ValueError: if it has none.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"--readme: has no lines '{BEGIN}' and '{END}' to put the table between")
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.split(END, 1)[1]}"


def with_reached(source: str, preset: str, board: Leaderboard) -> str:
    """A preset's source whose docstring says what it reached, where, in how many steps, with which seeds, how."""
    lines = []
    for env in board.envs:
        for name, runs in board.cells[env].items():
            if runs[0]["preset"] != preset or runs[0]["config"]:
                continue
            seeds = ", ".join(str(result["seed"]) for result in runs)
            interval = mean_interval(board.runs(env, name))
            lines.append(f"    {bare(env)}: {full(interval)}, {runs[0]['env_steps']:,} steps, seeds {seeds}")
    docstring = re.match(r'"""(.*?)"""', source, re.DOTALL)
    assert docstring is not None, f"{preset} has no docstring"
    told = docstring[1].split("\n\nrllib train", 1)[0].split(f"\n\n{REACHED}", 1)[0].rstrip()
    where = re.search(r"--env (\S+)", docstring[1])  # as the preset has it
    env = where[1] if where is not None else "edge_experts/text-v1"
    command = f"rllib train file configs/train/{preset}.py --env {env} --seed 0"
    text = "\n".join([told, "", command, "", REACHED, *lines]) if lines else f"{told}\n\n{command}"
    return f'"""{text}\n"""{source[docstring.end() :]}'


def presets(board: Leaderboard, folder: Path) -> dict[Path, str]:
    """The new text of every preset's file in a folder."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem not in ("__init__", "common"):
            found[path] = with_reached(path.read_text("utf-8"), path.stem, board)
    return found
