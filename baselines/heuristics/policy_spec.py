"""Policies and checkpoints as a command line names them, `[NAME=]CHECKPOINT|POLICY|file.py:name`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_experts.envs import Scenario, World
from edge_experts.envs.api.policy import Policy
from edge_experts.envs.io.import_string import is_reference

from .array_policy import load_array_policy
from .policies import make_policy

FIXED = "fixed:"  # before the name of an expert
ZOO = "zoo:"  # before the name of a shipped policy, see `agents.checkpoints.weights`


@dataclass(frozen=True)
class PolicySpec:
    """A policy's name, reference, or a checkpoint's folder; called with worlds, it makes the policy that plays them.

    Args:
        given: Which.
        explore: A checkpoint draws its actions; otherwise it takes the likeliest.
        trust: Whoever wrote the checkpoint: networks of their own are imported.
    """

    given: str
    explore: bool = False
    trust: bool = False

    @property
    def is_checkpoint(self) -> bool:
        """Whether it was trained."""
        return self.given.startswith(ZOO) or Path(self.given).is_dir()

    @property
    def is_outside(self) -> bool:
        """Whether it is code of the user's own."""
        return not self.is_checkpoint and is_reference(self.given) and not self.given.startswith(FIXED)

    def __call__(self, world: World, seed: int = 0) -> Policy:
        """The policy.

        Raises:
            ValueError: if there is no such policy, or the folder holds no checkpoint.
        """
        if not self.is_checkpoint:
            return load_array_policy(self.given) if self.is_outside else make_policy(self.given, world, seed)
        from edge_experts.agents import ray_logging

        ray_logging.before_import()
        from edge_experts.agents.checkpoints.policy import CheckpointPolicy

        ray_logging.after_import()
        return CheckpointPolicy(self.given, self.explore, seed, self.trust)


def find_policies(
    given: Sequence[str], scenario: Scenario, explore: bool = False, is_asked: bool = True, trust: bool = False
) -> dict[str, PolicySpec]:
    """Policies by the names to show them by; each checkpoint has been read, and asked for its first actions if wanted.

    Raises:
        ValueError: if one does not exist, was trained on a scenario of another kind, or two have one name.
    """
    found: dict[str, PolicySpec] = {}
    world = World(scenario)
    for text in given:
        name, _, what = (text, "", text) if Path(text).is_dir() or "=" not in text else text.partition("=")
        if name in found:
            raise ValueError(f"policies: '{name}' is given twice: name one of them otherwise, as NAME={what}")
        spec = PolicySpec(what, explore, trust)
        policy = spec(world)
        if spec.is_checkpoint and is_asked:
            policy.act(world)  # fails here if it is of another scenario
        found[name] = spec
    return found
