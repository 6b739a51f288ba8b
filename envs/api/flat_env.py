"""`FlatEnv`: plain vectors to see and one plain action to take, for algorithms that know nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from ..io.strict_yaml import shortened
from ..scenario import Scenario, ScenarioError
from ..sim.spec import ROLES
from .flat_form import KINDS, FlatForm
from .parallel_env import EdgeEnv
from .policy import GateFollowers, Policy
from .scripted import scripted_actions
from .spaces import AgentSpaces, as_array


class FlatEnv(AgentSpaces, ParallelEnv):  # type: ignore[misc]
    """A market whose observations are one `Box` each and whose actions are a single `Discrete` or a `Box`.

    Observation space:
        `Box`: the observation of `EdgeEnv`, then its action mask, that of the joint choices where actions are
            discrete. The mask is in `info["action_mask"]` too. With `dict_observations` a `Dict` of both, `observation`
            and `action_mask`, as PettingZoo's own games with masks have it.

    Action space:
        `discrete`: one choice among all combinations of the parts, the last part running fastest; a combination that
            is not
        legal means *wait* or *keep*. `box`: a number in [-1, 1] for every choice of every part; each part plays its
            legal
        choice of the highest number, so that nothing illegal can be played.

    Rewards, episode end and arguments are those of `EdgeEnv`, and:

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        overrides: Dotted scenario fields to change.
        actions: `discrete` or `box`.
        team: Pay everybody the mean reward of all (`rewards.team` = 1).
        role: Show the agents of one role only, `user` or `provider`, whose spaces are alike; all by default.
        partners: Who plays the other role; by default users follow the gate and providers keep their defaults.
        dict_observations: Observations and masks side by side instead of in one vector.
        fixed_population: As in `EdgeEnv`.
        seed: Key of the random stream.
        render_mode: As in `EdgeEnv`.

    Raises:
        ScenarioError: if the scenario is not valid, or nobody of the role acts in it.
        ValueError: if `actions` is neither of the two, or `role` is none.

    Version history:
        v0: first version.
    """

    metadata: dict[str, Any]
    render_mode: str | None
    partners: Policy | GateFollowers
    possible_agents: list[str]
    metadata = {**EdgeEnv.metadata}

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any] = "edge_experts/text-v1",
        overrides: Mapping[str, Any] | None = None,
        *,
        actions: str = "discrete",
        team: bool = False,
        role: str | None = None,
        partners: Policy | None = None,
        dict_observations: bool = False,
        fixed_population: bool = False,
        seed: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if actions not in KINDS:
            raise ValueError(f"actions: {actions!r}, expected one of {', '.join(KINDS)}")
        if role not in (*ROLES, None):
            raise ValueError(f"role: {role!r} is not one of {', '.join(ROLES)}")
        changes = dict(overrides or {})
        if team and changes.setdefault("rewards.team", 1.0) != 1.0:
            raise ScenarioError(f"rewards.team: {changes['rewards.team']!r} contradicts team=True; give one of them")
        self.env: EdgeEnv = EdgeEnv(
            scenario, changes, seed=seed, render_mode=render_mode, fixed_population=fixed_population
        )
        if role is not None and not self.env.scenario.acts(role):
            raise ScenarioError(f"role: '{role}' does not act in {self.env.scenario.id}; take the other one")
        self.kind, self.metadata, self.render_mode = actions, self.env.metadata, render_mode
        self.role, self.partners = role, partners or GateFollowers()
        self.possible_agents = self._shown(self.env.possible_agents)
        self.state_space: Any = self.env.state_space
        self.agents: list[str] = []
        self._forms = {role: FlatForm(spaces, actions) for role, spaces in self.env.role_spaces.items()}
        self._masks: dict[str, np.ndarray] = {}
        self._pairs = {role: self._pair(role) for role in self._forms} if dict_observations else {}

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self._pairs[self.env.role_of(agent)] if self._pairs else self._form(agent).observation

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self._form(agent).action

    def _pair(self, role: str) -> gymnasium.spaces.Dict:
        mask = gymnasium.spaces.Box(0, 1, (self._forms[role].mask_size,), np.int8)
        seen = self.env.role_spaces[role].observation["observation"]
        return gymnasium.spaces.Dict({"observation": seen, "action_mask": mask})

    def _form(self, agent: str) -> FlatForm:
        return self._forms[self.env.role_of(agent)]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._show(observations, infos), {agent: infos[agent] for agent in self._shown(infos)}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one slot; actions as `action_space`.

        Raises:
            ValueError: if an action is missing, out of range, or for an agent that is not there.
        """
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions: {shortened(actions)}, expected a mapping from agents to actions")
        for agent in actions:
            if agent not in self.agents:
                raise ValueError(f"actions: {agent!r} is not in the present agents {shortened(self.agents)}")
        chosen = {agent: self._chosen(agent, action) for agent, action in actions.items()}
        scripted = scripted_actions(self.env, self.partners) if self.role else {}
        others = {agent: action for agent, action in scripted.items() if agent not in self.agents}
        observations, *rest = self.env.step({**chosen, **others})
        outcome: list[dict[str, Any]] = rest  # type: ignore[assignment]
        rewards, terminated, truncated, infos = ({a: part[a] for a in self._shown(part)} for part in outcome)
        return self._show(observations, infos), rewards, terminated, truncated, infos

    def takes(self, agent: str, action: Any) -> bool:
        """Whether something is an action of an agent."""
        return bool(self.action_space(agent).contains(as_array(action)))

    def _shown(self, agents: Iterable[str]) -> list[str]:
        """Those of some agents that this view shows."""
        return [agent for agent in agents if self.role is None or self.env.role_of(agent) == self.role]

    def _show(self, observations: dict[str, Any], infos: dict[str, dict[str, Any]]) -> dict[str, Any]:
        self.agents = self._shown(self.env.agents)
        shown: dict[str, Any] = {}
        for agent in self._shown(observations):
            form, seen = self._form(agent), observations[agent]
            self._masks[agent] = seen["action_mask"]
            mask = infos[agent]["action_mask"] = form.mask(seen["action_mask"])
            shown[agent] = (
                {"observation": seen["observation"], "action_mask": mask}
                if self._pairs
                else form.observe(seen["observation"], seen["action_mask"])
            )
        return shown

    def _chosen(self, agent: str, action: Any) -> Any:
        form, given = self._form(agent), as_array(action)
        if given.shape != form.action.shape or not (
            given.dtype.kind in "iu" and 0 <= given < form.mask_size
            if form.kind == "discrete"
            else given.dtype.kind in "fiu" and form.action.contains(given.astype(form.action.dtype))
        ):
            hint = "" if form.kind == "discrete" else ": clip it"
            raise ValueError(f"actions: '{agent}' plays {shortened(action)}, which is not in {form.action}{hint}")
        return form.actions(given, self._masks[agent])

    def state(self) -> np.ndarray:
        """Global state, as `EdgeEnv.state`."""
        return self.env.state()

    def render(self) -> str | np.ndarray | None:
        """As `EdgeEnv.render`."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
