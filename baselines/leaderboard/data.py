"""The leaderboard: the results of the benchmark, read from the files that `edge-experts bench` wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_experts.envs.io.typed_json import read_json, read_typed

from .bootstrap import Scores, interquartile_mean
from .result import ResultForm
from .stale import why_stale

Result = dict[str, Any]
GAMES = "games"  # folder beside that of the results
BASELINE = "ppo"  # what the others are compared with
MIXTURE = "moe_ppo"
CONTROLS = ("dense_ppo", "dense_work")  # with as many weights, and with as many as a decision uses
OWN_VIEW, CONTROLLER = "own view", "central controller"
HEURISTICS = {"coordinated": CONTROLLER, "myopic": OWN_VIEW, "shortest_queue": OWN_VIEW}  # and what they know


class Leaderboard:
    """All results of a benchmark, by environment and algorithm.

    Args:
        results: As `bench_cell` writes them.
        references: Floor, reference and heuristics of scenarios, by hash.
        games: What `edge-experts exploit` and `crossplay` wrote, by the name of the file.
    """

    def __init__(
        self, results: Sequence[Result], references: Mapping[str, Any], games: Mapping[str, Any] | None = None
    ) -> None:
        self.games: dict[str, Any] = dict(games or {})
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
        games = {file.stem: _mended(read_json, file) for file in sorted((folder.parent / GAMES).glob("*.json"))}
        return cls([_mended(partial(read_typed, form=ResultForm), file) for file in files], references, games)

    @property
    def results(self) -> list[Result]:
        """All of them."""
        return [result for by_name in self.cells.values() for runs in by_name.values() for result in runs]

    @cached_property
    def stale(self) -> dict[str, str]:
        """Results that are not of this version, and why."""
        reasons = {f"{Path(r['env']).stem}/{r['name']}/seed_{r['seed']}": why_stale(r) for r in self.results}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def refuse_stale(self) -> None:
        """See that all results are of this version.

        Raises:
            ValueError: naming the first that is not.
        """
        for name, reason in self.stale.items():
            raise ValueError(
                f"report: {len(self.stale)} of {len(self.results)} results are not of this version, as {name}.json: "
                f"{reason}; remove them and run edge-experts bench, or show them by --stale"
            )

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

    @cached_property
    def partial(self) -> list[str]:
        """Algorithms without results on some environment, those with results on most of them first, then the best."""
        means = {
            name: [self.runs(env, name).mean() for env in self.envs if name in self.cells[env]] for name in self._all
        }
        missing = [name for name in means if name not in self.names]
        return sorted(missing, key=lambda name: (-len(means[name]), -float(np.mean(means[name])), name))

    @property
    def shown_first(self) -> list[str]:
        """All algorithms: those with results everywhere, the mixture and its controls, the others."""
        own = [name for name in (MIXTURE, *CONTROLS) if name in self.partial]
        return [*self.names, *own, *(name for name in self.partial if name not in own)]

    @property
    def _all(self) -> set[str]:
        return {name for cells in self.cells.values() for name in cells}

    def ranked(self, env: str) -> list[str]:
        """Algorithms of an environment, the best first by mean."""
        return sorted(self.cells[env], key=lambda name: -float(np.mean(self.runs(env, name))))

    def title(self, name: str) -> str:
        """How tables call an algorithm."""
        return next(cells[name][0]["title"] for cells in self.cells.values() if name in cells)

    def knows(self, name: str) -> str:
        """What the agents of an algorithm go by, as `CheckpointPolicy.knows` says; `-` of a policy from outside."""
        return next((cells[name][0].get("knows", "-") for cells in self.cells.values() if name in cells), "-")

    def runs(self, env: str, name: str) -> NDArray[np.float64]:
        """Normalised score of every run."""
        return np.array([result["normalised_score"] for result in self.cells[env][name]])

    def heldout_runs(self, env: str, name: str) -> NDArray[np.float64]:
        """Mean normalised score of every run over the held-out twins."""
        return np.array([_heldout(result) for result in self.cells[env][name]])

    def seeds(self, name: str) -> str:
        """How many runs there are of an algorithm on each environment."""
        counts = {len(self.cells[env][name]) for env in self.envs if name in self.cells[env]}
        return str(*counts) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"

    def scores(self, name: str) -> Scores:
        """Runs of an algorithm on every environment, those of seeds that ran on all of them."""
        return [self.runs(env, name)[common] for env, common in self._common(name)]

    def heldout_scores(self, name: str) -> Scores:
        """The same on the held-out twins, of environments that have any."""
        return [self.heldout_runs(env, name)[common] for env, common in self._common(name) if self.has_twins_of(env)]

    @property
    def has_twins(self) -> bool:
        """Whether any environment has held-out twins."""
        return any(self.has_twins_of(env) for env in self.envs)

    def has_twins_of(self, env: str) -> bool:
        """Whether algorithms were scored on held-out twins of an environment, too."""
        return all(runs[0]["heldout"] for runs in self.cells[env].values())

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
        """Normalised score of every run after a processor time: of its last checkpoint until then, 0 before."""
        found = []
        for result in self.cells[env][name]:
            past = [point["normalised_score"] for point in result["curve"] if point["cpu_time_s"] <= time_s]
            found.append(past[-1] if past else 0.0)
        return np.array(found)

    def named(self, policy: str) -> str:
        """A checkpoint of the benchmark by its algorithm and seed, another policy by its name."""
        parts = Path(policy).parts
        if len(parts) < 4 or not any(parts[-3] in cells for cells in self.cells.values()):
            return policy
        return f"{self.title(parts[-3])}, {parts[-2].replace('_', ' ')}"


def bare(env: str) -> str:
    """An environment's id without its namespace."""
    return env.rpartition("/")[2]


def _mended(read: Callable[[Path], Any], file: Path) -> Any:
    try:
        return read(file)
    except ValueError as error:
        raise ValueError(f"report: {error}; remove it and make it again") from None


def _heldout(result: Result) -> float:
    scores = [entry["normalised_score"] for entry in result["heldout"].values()]
    return float(np.mean(scores)) if scores else float("nan")
