"""Whether a result is what its policy does: played again on the same episodes, number by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_experts.agents.checkpoints.metadata import latest_checkpoint
from edge_experts.agents.checkpoints.modules import sha256_of_weights
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.checkpoints.weights import located
from edge_experts.agents.score_reference import stored_references
from edge_experts.envs import heldout_ids, load_scenario
from edge_experts.envs.io.typed_json import read_typed

from ..heuristics.array_policy import load_array_policy
from ..leaderboard.result import ResultForm
from ..leaderboard.stale import why_stale
from .cell import AS_IT_IS, measured
from .protocol import DRAWN
from .scheduler import RUNS, measure_ends


@dataclass(frozen=True)
class Compared:
    """A number, or a hash, of a result beside what was found now."""

    name: str
    recorded: Any
    found: Any

    @property
    def agrees(self) -> bool:
        """To the last digit."""
        return bool(self.recorded == self.found)


def verify(file: Path, policy: str | None = None, trust: bool = False) -> list[Compared]:
    """Play what a result is of again.

    Args:
        file: The result, as `edge-experts bench` writes it.
        policy: A checkpoint, an export, `zoo:NAME` or `file.py:name`; by default the checkpoint that bench has left.
        trust: Whoever wrote the checkpoint: networks of their own are imported.

    Returns:
        Everything that was compared.

    Raises:
        ValueError: if the file is no result of one environment, is of another version, or there is nothing to play.
    """
    result = read_typed(file, ResultForm)
    if reason := why_stale(result):
        raise ValueError(f"verify: {file}: {reason}")
    env, mode = str(result["env"]), str(result.get("mode", AS_IT_IS))
    compared, player = [], None
    if mode == AS_IT_IS:
        if policy is None:
            raise ValueError(f"verify: {file} is of a policy from outside: give it, as --policy file.py:name")
        player = load_array_policy(policy)
    else:
        folder = located(policy) if policy is not None else _left_by_bench(file)
        player = CheckpointPolicy(folder, mode == DRAWN, trust=trust)
        if "weights_sha256" in result:  # versions before 0.6 noted none
            compared.append(Compared("weights_sha256", result["weights_sha256"], sha256_of_weights(folder)))
    references = dict(stored_references())
    for name in (env, *heldout_ids(env)):
        scenario = load_scenario(name)
        if scenario.hash() not in references:  # a market of one's own
            references[scenario.hash()] = measure_ends(scenario, result["episodes"])
    found = measured({mode: player}, mode, env, references)
    return [*compared, *(Compared(*row) for row in _numbers(result, found))]


def _numbers(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What can be compared of two results."""
    for name in ("episodes", "normalised_score"):
        yield name, recorded.get(name), found[name]
    for twin in sorted({*recorded["heldout"], *found["heldout"]}):
        scores = [side["heldout"].get(twin, {}).get("normalised_score") for side in (recorded, found)]
        yield twin, *scores
    for name in sorted(set(found["measures"]) | set(recorded["measures"])):
        yield f"measures.{name}", recorded["measures"].get(name), found["measures"].get(name)


def _left_by_bench(file: Path) -> Path:
    """The checkpoint that a result was made from, where `edge-experts bench` left it.

    Raises:
        ValueError: if it is not there.
    """
    run = RUNS.joinpath(*file.resolve().with_suffix("").parts[-3:])
    found = latest_checkpoint(run)
    if found is None:
        raise ValueError(f"verify: there is no checkpoint in '{run}': say what to play, as --policy DIR")
    return found
