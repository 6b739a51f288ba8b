"""The leaderboard: the results of the benchmark as tables, computed from the files that `edge-experts bench` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import (
    Scores,
    bootstrap_interval,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)
from .statistics import Interval, mean_interval

Result = dict[str, Any]
GAMES = "games"  # folder beside that of the results
BASELINE = "ppo"  # what the others are compared with
MIXTURE, CONTROL = "moe_ppo", "dense_ppo"
HEURISTICS = ("coordinated", "myopic", "shortest_queue")
MEASURES: tuple[tuple[str, str, Callable[[Result], float | None]], ...] = (
    ("welfare / bound", ".3f", lambda m: m["welfare_ratio"]),
    ("a device's return", ".2f", lambda m: m["returns"]["device"]["mean"]),
    ("a provider's return", ".2f", lambda m: m["returns"]["provider"]["mean"]),
    ("worst tenth of devices", ".2f", lambda m: m["worst_decile"]),
    ("Jain", ".3f", lambda m: m["jain_index"]),
    ("Gini", ".3f", lambda m: m["gini_index"]),
    ("quality", ".3f", lambda m: m["quality"]),
    ("p95 latency, s", ".1f", lambda m: m["latency_s"]["p95"]),
    ("missed deadlines", ".1%", lambda m: m["deadline_miss_rate"]),
)


class Leaderboard:
    """All results of a benchmark, by environment and algorithm.

    Args:
        results: As `bench_cell` writes them.
        references: Floor, bound and heuristics of scenarios, by hash.
        games: What `edge-experts exploit` and `crossplay` wrote, by the name of the file.
    """

    def __init__(
        self, results: Sequence[Result], references: Mapping[str, Any], games: Mapping[str, Any] | None = None
    ) -> None:
        self.games = dict(games or {})
        self.cells: dict[str, dict[str, list[Result]]] = {}
        for result in sorted(results, key=lambda r: (r["env"], r["name"], r["seed"])):
            self.cells.setdefault(result["env"], {}).setdefault(result["name"], []).append(result)
        self.references = references

    @classmethod
    def load(cls, folder: Path, references: Mapping[str, Any]) -> Leaderboard:
        """Read all results under a folder, and those of deviators and cross-play in `games` beside it.

        Raises:
            ValueError: if there are none, or one is damaged.
        """
        files = sorted(folder.glob("*/*/seed_*.json"))
        if not files:
            raise ValueError(f"report: there are no results under '{folder}'; make some with: edge-experts bench")
        games = {file.stem: _read(file) for file in sorted((folder.parent / GAMES).glob("*.json"))}
        return cls([_read(file) for file in files], references, games)

    @property
    def envs(self) -> list[str]:
        """Environments, those with the fewest agents first."""
        return sorted(self.cells, key=lambda env: self._scenario(env)["devices"]["count"])

    def _scenario(self, env: str) -> dict[str, Any]:
        first = next(iter(self.cells[env].values()))[0]
        return first["provenance"]["scenario"]  # type: ignore[no-any-return]

    @cached_property
    def names(self) -> list[str]:
        """Algorithms with results on every environment, the best first by interquartile mean."""
        everywhere = set.intersection(*(set(by_name) for by_name in self.cells.values()))
        return sorted(everywhere, key=lambda name: -interquartile_mean(self.scores(name)))

    def ranked(self, env: str) -> list[str]:
        """Algorithms of an environment, the best first by mean."""
        return sorted(self.cells[env], key=lambda name: -float(np.mean(self.runs(env, name))))

    def title(self, name: str) -> str:
        """How tables call an algorithm."""
        return next(cells[name][0]["title"] for cells in self.cells.values() if name in cells)

    def runs(self, env: str, name: str) -> NDArray[np.float64]:
        """Normalised score of every run."""
        return np.array([result["normalised_score"] for result in self.cells[env][name]])

    def heldout_runs(self, env: str, name: str) -> NDArray[np.float64]:
        """Mean normalised score of every run over the held-out twins."""
        return np.array([_heldout(result) for result in self.cells[env][name]])

    def seeds(self, name: str) -> str:
        """How many runs there are of an algorithm on each environment."""
        counts = {len(self.cells[env][name]) for env in self.envs}
        return str(*counts) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"

    def scores(self, name: str) -> Scores:
        """Runs of an algorithm on every environment, those of seeds that ran on all of them."""
        return [self.runs(env, name)[common] for env, common in self._common(name)]

    def heldout_scores(self, name: str) -> Scores:
        """The same on the held-out twins."""
        return [self.heldout_runs(env, name)[common] for env, common in self._common(name)]

    def _common(self, name: str) -> list[tuple[str, NDArray[np.bool_]]]:
        """Each environment and which of its runs have a seed that ran everywhere, so that all count alike; else all."""
        seeds = [{result["seed"] for result in self.cells[env][name]} for env in self.envs]
        everywhere = set.intersection(*seeds) or set.union(*seeds)
        return [(env, np.array([r["seed"] in everywhere for r in self.cells[env][name]])) for env in self.envs]

    def heuristics(self, env: str) -> dict[str, float]:
        """Normalised scores of the heuristics that are stored."""
        first = next(iter(self.cells[env].values()))[0]
        known = self.references.get(first["provenance"]["scenario_hash"], {}).get("normalised", {})
        return {name: known[name] for name in HEURISTICS if name in known}

    def common_time(self, env: str) -> float:
        """Processor time that the baseline's training used at least, or any training, if it is not there: seconds."""
        trained = {name: runs for name, runs in self.cells[env].items() if runs[0]["curve"]}
        chosen = [trained[BASELINE]] if BASELINE in trained else list(trained.values())
        return float(min(result["cpu_time_s"] for runs in chosen for result in runs))

    def runs_at(self, env: str, name: str, time_s: float) -> NDArray[np.float64]:
        """Normalised score of every run after a processor time: that of the last checkpoint until then, 0 before the first."""
        found = []
        for result in self.cells[env][name]:
            past = [point["normalised_score"] for point in result["curve"] if point["cpu_time_s"] <= time_s]
            found.append(past[-1] if past else 0.0)
        return np.array(found)

    # --- tables -------------------------------------------------------------------------------------------------------

    def overall_table(self) -> str:
        """Algorithms over all environments together."""
        head = [
            "algorithm",
            "seeds",
            "IQM",
            "optimality gap",
            f"better than {self.title(BASELINE)}",
            "IQM, held-out twins",
        ]
        rows = []
        for name in self.names:
            versus = "-"
            if name != BASELINE and BASELINE in self.names:
                chance = bootstrap_interval(probability_of_improvement, self.scores(name), self.scores(BASELINE))
                versus = _short(chance)
            rows.append(
                [
                    self.title(name),
                    self.seeds(name),
                    _short(bootstrap_interval(interquartile_mean, self.scores(name))),
                    _short(bootstrap_interval(optimality_gap, self.scores(name))),
                    versus,
                    _short(bootstrap_interval(interquartile_mean, self.heldout_scores(name))),
                ]
            )
        return table(head, rows)

    def short_table(self) -> str:
        """One column an environment: what the README shows."""
        head = ["algorithm", "seeds", *(_bare(env) for env in self.envs), "IQM of all", "IQM on held-out twins"]
        rows = [
            [
                f"**{self.title(name)}**" if name == MIXTURE else self.title(name),
                self.seeds(name),
                *(str_of(mean_interval(self.runs(env, name))) for env in self.envs),
                _short(bootstrap_interval(interquartile_mean, self.scores(name))),
                _short(bootstrap_interval(interquartile_mean, self.heldout_scores(name))),
            ]
            for name in self.names
        ]
        for policy in HEURISTICS:
            known = [self.heuristics(env).get(policy) for env in self.envs]
            rows.append([f"*{policy}*", "", *("-" if score is None else f"{score:.2f}" for score in known), "", ""])
        return table(head, rows)

    def env_table(self, env: str) -> str:
        """Algorithms on one environment."""
        time_s = self.common_time(env)
        head = [
            "algorithm",
            "seeds",
            "normalised score",
            f"after {time_s:.0f} CPU-s",
            "most likely",
            "drawn",
            "held-out twins",
            "steps",
            "CPU-s",
            "wall clock, s",
            "weights",
        ]
        rows = []
        for name in self.ranked(env):
            runs = self.cells[env][name]
            weights = runs[0].get("parameters")
            rows.append(
                [
                    self.title(name),
                    str(len(runs)),
                    str_of(mean_interval(self.runs(env, name))),
                    f"{self.runs_at(env, name, time_s).mean():.3f}" if _trains(runs) else "-",
                    *(_mean_or_dash([r.get("modes", {}).get(mode) for r in runs]) for mode in ("most likely", "drawn")),
                    str_of(mean_interval(self.heldout_runs(env, name))) if runs[0]["heldout"] else "-",
                    f"{runs[0]['env_steps']:,}",
                    f"{np.mean([r['cpu_time_s'] for r in runs]):.0f}",
                    f"{np.mean([r['time_total_s'] for r in runs]):.0f}",
                    f"{sum(weights.values()):,}" if weights else "-",
                ]
            )
        rows += [[f"*{name}*", "", f"{score:.3f}", *[""] * 8] for name, score in self.heuristics(env).items()]
        return table(head, rows)

    def measures_table(self, env: str) -> str:
        """The measures of a mixed-motive game and of the service, means over the runs."""
        rows = []
        for name in self.ranked(env):
            row = [self.title(name)]
            for _, form, read in MEASURES:
                values = [read(result["measures"]) for result in self.cells[env][name]]
                known = [value for value in values if value is not None]
                row.append(format(np.mean(known), form) if known else "-")
            rows.append(row)
        return table(["algorithm", *(title for title, _, _ in MEASURES)], rows)

    def heldout_table(self, env: str) -> str:
        """Normalised score on each held-out twin, means over the runs."""
        first = next(iter(self.cells[env].values()))[0]
        twins = list(first["heldout"])
        head = ["algorithm", *(twin.rpartition("-heldout-")[2].rpartition("-")[0] for twin in twins)]
        rows = [
            [
                self.title(name),
                *(
                    f"{np.mean([r['heldout'][twin]['normalised_score'] for r in self.cells[env][name]]):.3f}"
                    for twin in twins
                ),
            ]
            for name in self.ranked(env)
        ]
        return table(head, rows)

    def mixture_table(self) -> str:
        """Every mixture against the control: difference of means and chance that a run is better."""
        rows = []
        for env in self.envs:
            for name in self.ranked(env):
                if not any(result.get("router") for result in self.cells[env][name]) or CONTROL not in self.cells[env]:
                    continue
                mine, control = [self.runs(env, name)], [self.runs(env, CONTROL)]
                gain = bootstrap_interval(lambda a, b: float(a[0].mean() - b[0].mean()), mine, control)
                chance = bootstrap_interval(probability_of_improvement, mine, control)
                weights = [sum(self.cells[env][n][0]["parameters"].values()) for n in (name, CONTROL)]
                rows.append(
                    [
                        _bare(env),
                        self.title(name),
                        f"{len(mine[0])} and {len(control[0])}",
                        _signed(gain),
                        _short(chance),
                        f"{weights[0] / weights[1]:.2f}",
                    ]
                )
        head = [
            "environment",
            "mixture",
            "seeds",
            "score less the control's",
            "better than it",
            "weights, of the control's",
        ]
        return table(head, rows)

    def router_table(self) -> str:
        """What the routers of the mixtures do, means over the runs."""
        rows = []
        for env in self.envs:
            for name in self.ranked(env):
                for module in self.cells[env][name][0].get("router") or {}:
                    reports = [result["router"][module] for result in self.cells[env][name]]
                    told = {
                        kind: (
                            np.mean([r["mutual_information_nats"][kind] for r in reports]),
                            np.mean([r["label_entropy_nats"][kind] for r in reports]),
                        )
                        for kind in reports[0]["mutual_information_nats"]
                    }
                    rows.append(
                        [
                            _bare(env),
                            self.title(name),
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

    def deviators_table(self) -> str:
        """What one deviator gains by leaving a trained policy: lower bounds of exploitability."""
        rows = []
        for game in self.games.values():
            for policy, deviations in game.get("deviations", {}).items():
                for deviation in deviations.values():
                    gain = Interval(**deviation["gain"])
                    rows.append(
                        [
                            _bare(game["env"]),
                            self.named(policy),
                            deviation["agent"].rpartition("_")[0],
                            f"{deviation['before']:.2f}",
                            _signed(gain),
                            deviation["start"],
                        ]
                    )
        head = ["environment", "policy of all others", "deviator", "its return, credits", "gain", "best start"]
        return table(head, rows)

    def crossplay_tables(self) -> list[tuple[str, str]]:
        """Environment and matrix of every cross-play."""
        found = []
        for game in self.games.values():
            if "matrix" in game:
                names = [self.named(policy) for policy in game["policies"]]
                rows = [[name, *(f"{x:.3f}" for x in row)] for name, row in zip(names, game["matrix"], strict=True)]
                found.append((game["env"], table(["every second agent: row, others: column", *names], rows)))
        return found

    def named(self, policy: str) -> str:
        """A checkpoint of the benchmark by its algorithm and seed, another policy by its name."""
        parts = Path(policy).parts
        if len(parts) < 4 or not any(parts[-3] in cells for cells in self.cells.values()):
            return policy
        return f"{self.title(parts[-3])}, {parts[-2].replace('_', ' ')}"


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"report: '{file}' is damaged: {error}; remove it and make it again") from None


def _ordered_loads(reports: list[Any]) -> NDArray[np.float64]:
    """Loads, the heaviest first: branches of different runs have nothing to do with each other."""
    return np.mean([sorted(report["load"], reverse=True) for report in reports], axis=0)  # type: ignore[no-any-return]


def _mean_or_dash(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else "-"


def _trains(runs: list[Result]) -> bool:
    return bool(runs[0]["curve"])


def _heldout(result: Result) -> float:
    scores = [entry["normalised_score"] for entry in result["heldout"].values()]
    return float(np.mean(scores)) if scores else float("nan")


def _bare(env: str) -> str:
    return env.rpartition("/")[2]


def _short(interval: Interval) -> str:
    if np.isnan(interval.low):
        return f"{interval.mean:.2f}"
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _signed(interval: Interval) -> str:
    if np.isnan(interval.low):
        return f"{interval.mean:+.3f}"
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def str_of(interval: Interval) -> str:
    """A mean with its interval, or alone if it has none."""
    return f"{interval.mean:.3f}" if np.isnan(interval.low) else str(interval)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
