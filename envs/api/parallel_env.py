"""`EdgeEnv`: one world as a PettingZoo parallel environment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from ..io.strict_yaml import shortened
from ..scenario import Scenario
from ..scenarios import load_scenario
from ..sim.spec import ROLES, slices
from ..sim.state import ENDINGS, PRESENT, PROVIDER_TERMS, USER_TERMS
from ..sim.world import World
from .spaces import AgentSpaces, RoleSpaces, as_array

RENDER_MODES = ["human", "ansi", "rgb_array"]
RENDER_FPS = 2
Observation = dict[str, np.ndarray]


class EdgeEnv(AgentSpaces, ParallelEnv):  # type: ignore[misc]
    """A market of edge experts, one agent a user and one a provider.

    Description:
        Service providers host generative models; users place the parts of their requests on them. Users
        share the air, queue at the experts and pay; quality comes from recorded tables. The rules stand in README.md
        and, to the letter, in `kernel.step_world`.

    Action space:
        As `edge_experts.envs.sim.spec.action_parts`: a user chooses an expert and a transmit-power level, a
            provider a
        price level, a speed level, a bandwidth policy, an expert to load, how many views it renders and a transmit
        power. Parts with one choice are left out.

    Observation space:
        `{"observation": Box, "action_mask": MultiBinary}`, as `edge_experts.envs.sim.spec.OBS_FIELDS`.
        `edge-experts describe ID` prints both tables with their sizes. A masked action that is played all the same
        means *wait* (user) or *keep* (provider) and sets `info["invalid"]`.

    Starting state:
        Users and providers at random places, empty queues, every provider's first experts loaded, defaults in force.

    Reward:
        User: value x quality if in time, less payments, energy and latency. Provider: payments less electricity,
        loading and penalties for late service. `rewards.team` mixes in the mean of all. Credits (0.001 US dollar).

    Episode end:
        Truncated after `episode.slots`. A user is terminated when it leaves (`devices.churn`) or has had its requests
        (`episode.requests_per_user`); all are terminated when every user has left.

    Info:
        For each agent its reward terms by name and `invalid`; for users also `placed`, `refused`, `ended`, and
        `quality`, `latency_s` and `hallucination` (rate) of a request composed in the slot.

    Args:
        scenario: A shipped id, a YAML file, plain data, or a `Scenario`.
        overrides: Dotted scenario fields to change, as `{"devices.count": 32}`.
        seed: Key of the random stream, used until `reset(seed=...)` sets another; drawn by the system if not given.
        fixed_population: Keep everybody in `agents` until the episode's end, for libraries that cannot have agents
            leave and join. An absent user sees zeros, can only wait, and is paid nothing; after a step
            `info["present"]` tells.
        render_mode: `"human"` (a window, drawn anew after every slot; text where there is no display), `"rgb_array"`
            (both need `edge-experts[plot]`) or `"ansi"`.

    Raises:
        ScenarioError: if the scenario is not valid.
        TableError: if a table is not valid.

    Version history:
        v0: first version.
    """

    possible_agents: list[str]
    metadata: dict[str, Any] = {
        "name": "edge_experts",
        "render_modes": RENDER_MODES,
        "is_parallelizable": True,
        "render_fps": RENDER_FPS,
    }

    def __init__(
        self,
        scenario: Scenario | str | Path | Mapping[str, Any] = "edge_experts/text-v1",
        overrides: Mapping[str, Any] | None = None,
        *,
        seed: int | None = None,
        render_mode: str | None = None,
        fixed_population: bool = False,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode: {render_mode!r}, expected one of {RENDER_MODES} or None")
        self.render_mode = render_mode
        self.scenario: Scenario = load_scenario(scenario, overrides)
        self.metadata = {**self.metadata, "name": self.scenario.id}
        self.fixed_population = fixed_population
        self._seed = seed
        self._began = False
        self._screen: Any = None
        self.world: World = World(self.scenario, seed=0)
        self.role_spaces: dict[str, RoleSpaces] = {role: RoleSpaces(role, self.world.sizes) for role in ROLES}
        self._places = {
            agent: (role, i) for role in ("provider", "user") for i, agent in enumerate(self.world.agents(role))
        }
        self.possible_agents = list(self._places)
        self.agents: list[str] = []
        self._seats: dict[str, list[int]] = {}
        self._actions = {role: self.world.default_actions(role) for role in ROLES}
        self._watch()

    def _watch(self) -> None:
        """Plain views of what is read in every step; the world keeps its buffers."""
        state = self.world.state
        records = {role: np.asarray(self.world.records(role))[0] for role in ROLES}
        self._over, self._presence = np.asarray(state.clock)["over"], records["user"]["presence"]
        self._happened = {role: records[role][["reward", "terminated", "truncated", *INFO[role]]] for role in ROLES}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in UNPICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._screen = None
        self._watch()

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self.role_spaces[self.role_of(agent)].observation

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self.role_spaces[self.role_of(agent)].action

    def takes(self, agent: str, action: Any) -> bool:
        """Whether something is an action of an agent."""
        return self.role_spaces[self.role_of(agent)].has(action)

    def observation_names(self, agent: str) -> list[str]:
        """What the entries of an agent's observation are called, as `battery` or `gate[2]`; see `describe`."""
        names = []
        for name, place in slices(self.role_of(agent), self.world.sizes).items():
            count = place.stop - place.start
            names += [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
        return names

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begin an episode: the first one of a seed if it is given, else the next one of the present seed."""
        if seed is not None or self._seed is None or not self._began:
            self._seed = seed if seed is not None else self._seed
            if self._seed is None:
                self._seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
            self.world.reset(seed=self._seed)
        elif self.agents or self.world.state.clock.slot[0] > 0:  # in the middle of an episode
            self.world.reset(episode=int(self.world.state.clock.episode[0]) + 1)
        self._began = True
        self._seat(self._present())
        if self.render_mode == "human":
            self.render()
        return self._observe(self.agents, final=False), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Play one slot.

        Args:
            actions: One action for every agent in `agents`.

        Raises:
            ValueError: if an action is missing, out of range, or for an agent that is not there.
        """
        self._take(actions)
        acted = self.agents
        self.world.step(self._actions["user"], self._actions["provider"])
        over = bool(self._over[0])
        present = [] if over else self._present()
        shown = acted if present == acted or over else acted + [agent for agent in present if agent not in acted]
        happened = {role: table.tolist() for role, table in self._happened.items()}
        rewards, terminated, truncated, infos = {}, {}, {}, {}
        for agent in shown:
            role, i = self._places[agent]
            outcome = happened[role][i]
            rewards[agent], terminated[agent], truncated[agent] = outcome[:FIRST_INFO]
            infos[agent] = info = dict(zip(INFO[role], outcome[FIRST_INFO:], strict=True))
            if self.fixed_population:
                info["present"] = self._is_present(agent, over, truncated[agent])
            if role == "user":
                info["ended"] = ENDINGS[info["ended"]]
        observations = self._observe(shown, final=over)
        if self.fixed_population:  # seats end together: with the time limit, or when the last user has left
            cut = any(truncated.values())
            terminated, truncated = dict.fromkeys(shown, over and not cut), dict.fromkeys(shown, over and cut)
            observations |= {agent: self._vacant() for agent in shown if not infos[agent]["present"]}
        if any(terminated.values()):
            present = [agent for agent in present if not terminated[agent]]
        if present != acted:
            self._seat(present)
        if self.render_mode == "human" and not over:
            self.render()
        return observations, rewards, terminated, truncated, infos

    def state(self) -> np.ndarray:
        """Global state: the observations of all providers, then of all users, as one float32 vector."""
        return self.world.views.joined()[0]

    @cached_property
    def state_space(self) -> gymnasium.spaces.Box:
        """Space of `state()`, whoever is there."""
        seen = [self.role_spaces[role].observation["observation"] for role in ("provider", "user")]
        counts = [self.world.sizes.count(role) for role in ("provider", "user")]
        low, high = (
            np.concatenate([np.tile(getattr(box, bound), n) for box, n in zip(seen, counts, strict=True)])
            for bound in ("low", "high")
        )
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def render(self) -> str | np.ndarray | None:
        """A picture of the market as `render_mode` asks: text, an RGB array (height, width, 3) uint8, or a window.

        Raises:
            ImportError: if matplotlib is not installed.
        """
        from ..recording.render import draw, open_screen, write

        if self.render_mode == "ansi":
            return write(self.world)
        if self.render_mode == "human":
            self._screen = self._screen or open_screen(RENDER_FPS)
            self._screen.show(self.world)
            return None
        return draw(self.world) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    def role_of(self, agent: str) -> str:
        """`user` or `provider`.

        Raises:
            ValueError: if there is no such agent.
        """
        try:
            return self._places[agent][0]
        except KeyError:
            raise ValueError(f"agent: {agent!r} is not one of {self.possible_agents}") from None

    def _present(self) -> list[str]:
        if self.fixed_population:
            return self.possible_agents.copy()
        live = (self._presence == PRESENT).tolist()
        if all(live):
            return self.possible_agents.copy()
        return [agent for agent, (role, i) in self._places.items() if role == "provider" or live[i]]

    def _is_present(self, agent: str, over: bool, cut: bool) -> bool:
        """Whether an agent of a fixed population is there at the slot's end.

        Args:
            agent: Of whom.
            over: Whether the episode is, so that the world is in the next one already.
            cut: Whether its time ran out for the agent.
        """
        role, i = self._places[agent]
        return role == "provider" or (cut if over else bool(self._presence[i] == PRESENT))

    def _vacant(self) -> Observation:
        """What is seen from a seat whose user is away: nothing, and that it can only wait."""
        spaces = self.role_spaces["user"]
        wait = np.atleast_1d(spaces.from_world(self.world.default_actions("user")[0, 0]))
        mask = np.zeros(int(spaces.nvec.sum()), np.int8)
        mask[np.cumsum([0, *spaces.nvec[:-1]]) + wait] = 1
        seen: Any = spaces.observation["observation"]
        return {"observation": np.zeros(seen.shape, np.float32), "action_mask": mask}

    def _seat(self, agents: list[str]) -> None:
        """Let these agents act in the next slot."""
        self.agents, self._acting = agents, frozenset(agents)
        self._seats = {role: [] for role in ROLES}
        for agent in agents:
            role, i = self._places[agent]
            self._seats[role].append(i)

    def _take(self, actions: Mapping[str, Any]) -> None:
        """Put the agents' actions where the world reads them."""
        if not self.agents:
            raise ValueError("step: the episode is over or has not begun; call reset()")
        if not isinstance(actions, Mapping):
            raise ValueError(f"actions: {shortened(actions)}, expected a mapping from agents to actions")
        if actions.keys() != self._acting:
            for agent in actions:
                if agent not in self._acting:
                    raise ValueError(f"actions: {agent!r} is not in the present agents {shortened(self.agents)}")
            missing = next(agent for agent in self.agents if agent not in actions)
            raise ValueError(f"actions: {missing!r} is missing; every present agent needs one")
        if len(self._acting) < len(self._places):
            self._actions["user"][0] = self.world.default_actions("user")[0]  # of those who are not there
        for role, seats in self._seats.items():
            if seats:
                given = [actions[f"{role}_{i}"] for i in seats]
                self._actions[role][0, seats] = self._together(role, given)

    def _together(self, role: str, given: list[Any]) -> np.ndarray:
        """Actions of one role as the world takes them: (agents, parts)."""
        spaces = self.role_spaces[role]
        together = as_array(given)
        if together.shape != (len(given), *spaces.shape) or together.dtype.kind not in "iu":
            for i, action in zip(self._seats[role], given, strict=True):
                one = as_array(action)
                if one.shape != spaces.shape or one.dtype.kind not in "iu":
                    raise ValueError(
                        f"actions: '{role}_{i}' plays {shortened(action)}, which is not in {spaces.action}"
                    )
        return spaces.to_world(together)

    def _observe(self, agents: list[str], final: bool) -> dict[str, Observation]:
        views = self.world.final_views if final else self.world.views
        seen = {}
        for role in ROLES:
            observations, masks = views.of(role)
            rows = zip(observations[0].copy(), self.role_spaces[role].shown_mask(masks[0]), strict=True)
            seen[role] = [{"observation": observation, "action_mask": mask} for observation, mask in rows]
        return {agent: seen[role][i] for agent in agents for role, i in (self._places[agent],)}


UNPICKLED = ("_over", "_presence", "_happened", "_screen")
FIRST_INFO = 3  # of what happened, after reward and how it ended
INFO: dict[str, tuple[str, ...]] = {
    "user": (*USER_TERMS, "invalid", "placed", "refused", "quality", "latency_s", "hallucination", "ended"),
    "provider": (*PROVIDER_TERMS, "invalid", "served", "late"),
}


def parallel_env(**kwargs: Any) -> EdgeEnv:
    """Entry point of `pettingzoo.make("parallel", id)`; arguments as `EdgeEnv`."""
    return EdgeEnv(**kwargs)
