"""The leaderboard's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.protocol import MODES
from ..evaluation.metrics import Interval, mean_interval
from ..markdown import full, short, signed, table
from .bootstrap import (
    bootstrap_interval,
    difference_of_means,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)
from .data import BASELINE, CONTROLS, HEURISTICS, MIXTURE, Leaderboard, Result, bare

TOP = 4  # algorithms that the README shows
MEASURES: tuple[tuple[str, str, Callable[[Result], float | None]], ...] = (
    ("welfare / reference", ".3f", lambda m: m["welfare_ratio"]),
    ("a user's return", ".2f", lambda m: m["returns"]["user"]["mean"]),
    ("a provider's return", ".2f", lambda m: m["returns"]["provider"]["mean"]),
    ("worst tenth of users", ".2f", lambda m: m["worst_decile"]),
    ("Jain", ".3f", lambda m: m["jain_index"]),
    ("Gini", ".3f", lambda m: m["gini_index"]),
    ("quality", ".3f", lambda m: m["quality"]),
    ("p95 latency, s", ".1f", lambda m: m["latency_s"]["p95"]),
    ("missed deadlines", ".1%", lambda m: m["deadline_miss_rate"]),
)


def overall_table(board: Leaderboard) -> str:
    """Algorithms over all environments together."""
    baseline = board.title(BASELINE) if BASELINE in board.names else BASELINE
    head = [
        "algorithm",
        "seeds",
        "IQM",
        "optimality gap",
        f"better than {baseline}",
        "IQM, held-out twins",
    ]
    rows = []
    for name in board.names:
        versus = "-"
        if name != BASELINE and BASELINE in board.names:
            chance = bootstrap_interval(probability_of_improvement, board.scores(name), board.scores(BASELINE))
            versus = short(chance)
        rows.append(
            [
                board.title(name),
                board.seeds(name),
                short(_middle(board, name)[0]),
                short(bootstrap_interval(optimality_gap, board.scores(name))),
                versus,
                short(_middle(board, name)[1]),
            ]
        )
    return table(*_without_twins(head, rows, board.has_twins))


def short_table(board: Leaderboard) -> str:
    """The best few algorithms and the best heuristic, means alone: what the README shows."""
    return _scores(board, board.shown_first[:TOP], ("coordinated",), lambda interval: f"{interval.mean:.2f}")


def scores_table(board: Leaderboard) -> str:
    """One column an environment: all algorithms and heuristics; those that were not trained everywhere come last."""
    return _scores(board, [*board.names, *board.partial], [*HEURISTICS])


def _scores(
    board: Leaderboard,
    names: Sequence[str],
    heuristics: Sequence[str],
    shown: Callable[[Interval], str] = full,
) -> str:
    head = ["algorithm", "knows", "seeds", *(bare(env) for env in board.envs), "IQM of all", "IQM on held-out twins"]
    rows = [
        [
            f"**{board.title(name)}**" if name == MIXTURE else board.title(name),
            board.knows(name),
            board.seeds(name),
            *(shown(mean_interval(board.runs(env, name))) if name in board.cells[env] else "-" for env in board.envs),
            *((short(i) for i in _middle(board, name)) if name in board.names else ("-", "-")),
        ]
        for name in names
    ]
    for policy in heuristics:
        known = [board.heuristics(env).get(policy) for env in board.envs]
        rows.append(
            [
                f"*{policy}*",
                HEURISTICS[policy],
                "",
                *("-" if score is None else f"{score:.2f}" for score in known),
                "",
                "",
            ]
        )
    return table(*_without_twins(head, rows, board.has_twins))


def _without_twins(head: list[str], rows: list[list[str]], has_twins: bool) -> tuple[list[str], list[list[str]]]:
    """A table less what it says of held-out twins, where there are none."""
    kept = [i for i, title in enumerate(head) if has_twins or "held-out" not in title]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


@cache
def _middle(board: Leaderboard, name: str) -> tuple[Interval, Interval]:
    """Interquartile mean over all environments, and over their held-out twins: several tables show them."""
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    return (
        bootstrap_interval(interquartile_mean, board.scores(name)),
        bootstrap_interval(interquartile_mean, board.heldout_scores(name)) if board.has_twins else nothing,
    )


def env_table(board: Leaderboard, env: str) -> str:
    """Algorithms on one environment."""
    time_s = board.common_time(env)
    head = [
        "algorithm",
        "seeds",
        "normalised score",
        f"after {time_s:.0f} CPU-s",
        *MODES,
        "held-out twins",
        "steps",
        "CPU-s",
        "wall clock, s",
        "weights",
    ]
    rows = []
    for name in board.ranked(env):
        runs = board.cells[env][name]
        weights = runs[0].get("parameters")
        rows.append(
            [
                board.title(name),
                str(len(runs)),
                full(mean_interval(board.runs(env, name))),
                f"{board.runs_at(env, name, time_s).mean():.3f}" if _trains(runs) else "-",
                *(_mean_or_dash([r.get("modes", {}).get(mode) for r in runs]) for mode in MODES),
                full(mean_interval(board.heldout_runs(env, name))) if runs[0]["heldout"] else "-",
                f"{runs[0]['env_steps']:,}",
                f"{np.mean([r['cpu_time_s'] for r in runs]):.0f}",
                f"{np.mean([r['time_total_s'] for r in runs]):.0f}",
                f"{sum(weights.values()):,}" if weights else "-",
            ]
        )
    rows += [[f"*{name}*", "", f"{score:.3f}", *[""] * 8] for name, score in board.heuristics(env).items()]
    return table(*_without_twins(head, rows, board.has_twins_of(env)))


def measures_table(board: Leaderboard, env: str) -> str:
    """The measures of a mixed-motive game and of the service, means over the runs."""
    rows = []
    for name in board.ranked(env):
        row = [board.title(name)]
        for _, form, read in MEASURES:
            values = [read(result["measures"]) for result in board.cells[env][name]]
            known = [value for value in values if value is not None]
            row.append(format(np.mean(known), form) if known else "-")
        rows.append(row)
    return table(["algorithm", *(title for title, _, _ in MEASURES)], rows)


def heldout_table(board: Leaderboard, env: str) -> str:
    """Normalised score on each held-out twin, means over the runs."""
    first = next(iter(board.cells[env].values()))[0]
    twins = list(first["heldout"])
    head = ["algorithm", *(twin.rpartition("-heldout-")[2].rpartition("-")[0] for twin in twins)]
    rows = [
        [
            board.title(name),
            *(
                f"{np.mean([r['heldout'][twin]['normalised_score'] for r in board.cells[env][name]]):.3f}"
                for twin in twins
            ),
        ]
        for name in board.ranked(env)
    ]
    return table(head, rows)


def mixture_table(board: Leaderboard) -> str:
    """Every mixture against every control: difference of means and chance that a run is better."""
    rows = []
    for env in board.envs:
        cells = board.cells[env]
        mixtures = [name for name in board.ranked(env) if any(result.get("router") for result in cells[name])]
        for name in mixtures:
            for other in (control for control in CONTROLS if control in cells):
                mine, control = [board.runs(env, name)], [board.runs(env, other)]
                weights = [sum(cells[n][0]["parameters"].values()) for n in (name, other)]
                rows.append(
                    [
                        bare(env),
                        board.title(name),
                        board.title(other),
                        f"{len(mine[0])} and {len(control[0])}",
                        signed(bootstrap_interval(difference_of_means, mine, control)),
                        short(bootstrap_interval(probability_of_improvement, mine, control)),
                        f"{weights[0] / weights[1]:.2f}",
                    ]
                )
    head = [
        "environment",
        "mixture",
        "control",
        "seeds",
        "score less the control's",
        "better than it",
        "weights, of the control's",
    ]
    return table(head, rows)


def router_table(board: Leaderboard) -> str:
    """What the routers of the mixtures do, means over the runs."""
    rows = []
    for env in board.envs:
        for name in board.ranked(env):
            for module in board.cells[env][name][0].get("router") or {}:
                reports = [result["router"][module] for result in board.cells[env][name]]
                told = {
                    kind: (
                        np.mean([r["mutual_information_nats"][kind] for r in reports]),
                        np.mean([r["label_entropy_nats"][kind] for r in reports]),
                    )
                    for kind in reports[0]["mutual_information_nats"]
                }
                rows.append(
                    [
                        bare(env),
                        board.title(name),
                        module,
                        f"{np.mean([r['router_entropy_nats'] for r in reports]):.2f}",
                        ", ".join(f"{share:.2f}" for share in _ordered_loads(reports)),
                        f"{np.mean([r['dead_branches'] for r in reports]):.1f}",
                        *(
                            f"{told[kind][0]:.2f} of {told[kind][1]:.2f}" if kind in told else "-"
                            for kind in ("modality", "category", "expert")
                        ),
                    ]
                )
    head = ["environment", "mixture", "policy", "entropy", "load of branches", "dead"]
    return table([*head, "told of modality", "of category", "of expert"], rows)


def deviators_table(board: Leaderboard) -> str:
    """What one deviator gains by leaving a trained policy: lower bounds of exploitability."""
    rows = []
    for game in board.games.values():
        for policy, deviations in game.get("deviations", {}).items():
            for deviation in deviations.values():
                gain = Interval(**deviation["gain"])
                rows.append(
                    [
                        bare(game["env"]),
                        board.named(policy),
                        deviation["agent"].rpartition("_")[0],
                        f"{deviation['before']:.2f}",
                        signed(gain),
                        deviation["start"],
                    ]
                )
    head = ["environment", "policy of all others", "deviator", "its return, credits", "gain", "best start"]
    return table(head, rows)


def crossplay_table(board: Leaderboard, game: dict[str, Any]) -> str:
    """The matrix of a cross-play."""
    names = [board.named(policy) for policy in game["policies"]]
    rows = [[name, *(f"{x:.3f}" for x in row)] for name, row in zip(names, game["matrix"], strict=True)]
    return table(["every second agent: row, others: column", *names], rows)


def _ordered_loads(reports: list[Any]) -> NDArray[np.float64]:
    """Loads, the heaviest first: branches of different runs have nothing to do with each other."""
    return np.mean([sorted(report["load"], reverse=True) for report in reports], axis=0)  # type: ignore[no-any-return]


def _mean_or_dash(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def _trains(runs: list[Result]) -> bool:
    return bool(runs[0]["curve"])
