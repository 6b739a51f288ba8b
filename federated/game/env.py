"""`FederatedEnv`: one federation as a PettingZoo parallel environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv

from edge_experts.envs.api.spaces import AgentSpaces
from edge_experts.envs.io.strict_yaml import shortened

from .game import FederatedGame
from .spec import FIELDS, ROLES, action_space, choices, entries, observation_space

PROVIDER = "provider_0"
RENDER_MODES = ["ansi"]


class FederatedEnv(AgentSpaces, ParallelEnv):  # type: ignore[misc]
    """Federated training as a market: clients decide what they give to each round, a provider what it pays for.

    Description:
        Clients hold images of their own and train a shared linear head on frozen features, round by round. The training
        is real: minibatch gradient descent on scikit-learn's digits, updates rounded to the bits that were chosen,
        FedAvg, and accuracy counted on held-out images. Seconds and joules come from the radio and the hardware.

    Action space:
        Client: `MultiDiscrete`: whether to take part, local epochs, bits a number of the update, transmit power.
        Provider: `MultiDiscrete`: payment for an update in the next round, and whether there is one.

    Observation space:
        `Box` float32, as `edge_experts.federated.game.spec.FIELDS`; `edge-experts describe` prints the spaces.

    Starting state:
        Images dealt anew, clients at random places around the server, a head of zeros, the first price in force.

    Reward:
        Client: worth of what the round added to the accuracy on its own mix of classes, plus payment, less its joules.
        Provider: worth of what it added to the accuracy on all test images, less payments, the server's joules and
        seconds. Payments sum to zero. `worth.team` mixes in the mean of all. Credits (0.001 US dollar).

    Episode end:
        Terminated where the provider stops, truncated after `rounds`.

    Info:
        The reward terms of each agent: `earned`, `payment` (of a client what it gets is `revenue`), `energy`, and of
        the provider `waiting`; with `joules` and, of a client, `bits` sent up, `joined` and `counted`; of the provider
        `seconds` and `accuracy`.

    Args:
        overrides: Dotted fields of `GameSettings` to change, as `{"clients": 4}`.
        seed: Key of the random stream, used until `reset(seed=...)` sets another; drawn by the system if not given.
        render_mode: `"ansi"` or None.

    Raises:
        ValueError: naming a field, its value and the fix.

    References:
        McMahan et al., arXiv 1602.05629 (FedAvg); Alistarh et al., arXiv 1610.02132 (QSGD); networked mixture of
        experts, arXiv 2511.01743.

    Version history:
        v0: first version.
    """

    metadata: dict[str, Any] = {
        "name": "edge_experts/federated-v0",
        "render_modes": RENDER_MODES,
        "is_parallelizable": True,
    }
    # makers of baselines, called with the environment
    policies: dict[str, str] = {
        name: f"edge_experts.federated.game.policies:{name.title()}" for name in ("full", "greedy", "planned")
    }

    def __init__(
        self, overrides: Mapping[str, Any] | None = None, *, seed: int | None = None, render_mode: str | None = None
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode: {render_mode!r}, expected one of {RENDER_MODES} or None")
        self.render_mode = render_mode
        self.game: FederatedGame = FederatedGame(overrides)
        self._seed, self._episode = seed, -1
        clients = self.game.settings.clients
        self.possible_agents: list[str] = [*(f"client_{k}" for k in range(clients)), PROVIDER]
        self.agents: list[str] = []
        self._spaces = {
            role: (observation_space(role, self.game.sizes), action_space(role, self.game.sizes)) for role in ROLES
        }

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self._spaces[self.role_of(agent)][0]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same space object for all agents of a role."""
        return self._spaces[self.role_of(agent)][1]

    def observation_names(self, agent: str) -> list[str]:
        """What the entries of an agent's observation are called, as `price` or `mix[2]`."""
        names = []
        for field in FIELDS[self.role_of(agent)]:
            count = entries(field, self.game.sizes)
            names += [field.name] if count == 1 else [f"{field.name}[{i}]" for i in range(count)]
        return names

    def role_of(self, agent: str) -> str:
        """`client` or `provider`.

        Raises:
            ValueError: if there is no such agent.
        """
        if agent not in self.possible_agents:
            raise ValueError(f"agent: {agent!r} is not one of {shortened(self.possible_agents)}")
        return agent.rpartition("_")[0]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode: the first one of a seed if it is given, else the next one of the present seed."""
        self._episode = 0 if seed is not None else self._episode + 1
        if seed is not None or self._seed is None:
            self._seed = seed
        if self._seed is None:
            self._seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
        self.game.reset(self._seed, self._episode)
        self.agents = self.possible_agents.copy()
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Run a round.

        Raises:
            ValueError: if the episode is over, an agent has no action, or plays what it cannot.
        """
        if not self.agents:
            raise ValueError("step: the episode is over or has not begun; call reset()")
        if not isinstance(actions, Mapping) or set(actions) != set(self.agents):
            raise ValueError(f"actions: {shortened(actions)}, expected an action of each of {shortened(self.agents)}")
        taken = [self._taken(agent, actions[agent]) for agent in self.agents]
        self.game.step(np.array([taken[:-1]]), np.array(taken[-1:]))
        state, played = self.game.state, self.agents
        rewards = dict(zip(played, state.rewards[0].tolist(), strict=True))
        over, stopped = bool(state.over[0]), bool(state.stopped[0])
        self.agents = [] if over else played
        ends = dict.fromkeys(played, stopped), dict.fromkeys(played, over and not stopped)
        return self._observe(), rewards, *ends, self._infos()

    def state(self) -> np.ndarray:
        """Global state: what the provider sees, then what all clients see, as one float32 vector."""
        views = self.game.views
        return np.concatenate([views.provider[0], views.client[0].ravel()])

    def render(self) -> str | None:
        """The last round as text."""
        if self.render_mode != "ansi":
            return None
        w, r = self.game.state, self.game.rules
        gave = "".join("+" if c else "-" if j else "." for j, c in zip(w.joined[0], w.counted[0], strict=True))
        return (
            f"round {w.round[0]} of {r.rounds}: accuracy {w.accuracy[0]:.3f} ({w.gain[0]:+.3f}), {gave} took part, "
            f"{w.seconds[0]:.3f} s, {w.joules[0].sum():.4f} J, {w.payments[0].sum():.2f} credits paid, "
            f"next price {r.prices[w.price[0]]:g}"
        )

    def _taken(self, agent: str, action: Any) -> np.ndarray:
        given, limits = np.asarray(action), choices(self.role_of(agent), self.game.sizes)
        fits = given.shape == (len(limits),) and given.dtype.kind in "iu"
        if not fits or (given < 0).any() or (given >= limits).any():
            raise ValueError(
                f"actions: '{agent}' plays {shortened(action)}, which is not in {self.action_space(agent)}"
            )
        return given.astype(np.int64)

    def _observe(self) -> dict[str, np.ndarray]:
        views = self.game.views
        return dict(zip(self.possible_agents, [*views.client[0].copy(), views.provider[0].copy()], strict=True))

    def _infos(self) -> dict[str, dict[str, Any]]:
        w, worth = self.game.state, self.game.settings.worth
        infos: dict[str, dict[str, Any]] = {}
        for k, agent in enumerate(self.possible_agents[:-1]):
            infos[agent] = {
                "earned": worth.client * float(w.own_gain[0, k]),
                "revenue": float(w.payments[0, k]),
                "energy": worth.joule * float(w.joules[0, k]),
                "joules": float(w.joules[0, k]),
                "bits": float(w.bits[0, k]),
                "joined": bool(w.joined[0, k]),
                "counted": bool(w.counted[0, k]),
            }
        infos[PROVIDER] = {
            "earned": worth.provider * float(w.gain[0]),
            "payment": -float(w.payments[0].sum()),
            "energy": worth.joule * float(w.joules[0, -1]),
            "waiting": worth.second * float(w.seconds[0]),
            "joules": float(w.joules[0, -1]),
            "seconds": float(w.seconds[0]),
            "accuracy": float(w.accuracy[0]),
        }
        return infos
