"""Baselines of a federated game: everybody at full settings, each greedy for itself, and a planner for all.

Each is made for an environment, and then called with observations and agents, as `edge-experts evaluate` does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .env import PROVIDER, FederatedEnv
from .spec import slices

Observations = dict[str, NDArray[np.float32]]
Actions = dict[str, NDArray[np.int64]]
WINDOW = 3  # rounds that the provider looks back on, as the gain of one is noisy


class Full:
    """Everybody takes part in every round, with most epochs, all bits and highest power; the price stays."""

    def __init__(self, env: FederatedEnv) -> None:
        settings, powers = env.game.settings, len(env.game.rules.powers_w)
        self._client = np.array([1, len(settings.epochs) - 1, len(settings.bits) - 1, powers - 1])
        self._provider = np.array([settings.first_price, 1])

    def __call__(self, observations: Observations, agents: list[str]) -> Actions:
        """An action of each agent."""
        return {agent: self._provider if agent == PROVIDER else self._client for agent in agents}


class _Reader:
    """Reads what a choice will take out of a client's observation."""

    def __init__(self, env: FederatedEnv) -> None:
        self.game = env.game
        self.places = {role: slices(role, env.game.sizes) for role in ("client", "provider")}
        self.gains: list[float] = []
        settings, numbers = env.game.settings, env.game.state.model[0].size
        self.loads = np.array([b / 32 if b == 32 else (b * numbers + 32) / (32 * numbers) for b in settings.bits])

    def of(self, role: str, seen: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """A field of an observation."""
        return seen[self.places[role][name]]

    def takes(self, seen: NDArray[np.float32], joined: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds and joules (epochs, bits, powers) of a client's choices in a round with so many that take part."""
        settings, rules = self.game.settings, self.game.rules
        download, epoch, upload = (
            self.of("client", seen, name).astype(float) * settings.deadline_s
            for name in ("download", "epoch", "upload")
        )
        compute_s = epoch * np.array(settings.epochs)[:, None, None]
        upload_s = upload[None, None, :] * self.loads[None, :, None] * joined
        return (
            download * joined + compute_s + upload_s,
            compute_s * rules.power_w + upload_s * rules.powers_w,
        )

    def recent_gain(self, seen: NDArray[np.float32]) -> float:
        """Mean gain of the last rounds, of this episode."""
        left = float(self.of("provider", seen, "rounds_left")[0])
        self.gains = [] if left == 1.0 else [*self.gains, float(self.of("provider", seen, "gain")[0])][-WINDOW:]
        return float(np.mean(self.gains)) if self.gains else 1.0


class Greedy:
    """Each for itself: a client takes part, as cheaply as it can in time, where the price is above its joules.

    The provider posts the lowest price above the dearest client's joules, which it is told here, and stops when what
    the last rounds gained it was worth less than payments and waiting.
    """

    def __init__(self, env: FederatedEnv) -> None:
        self._read = _Reader(env)

    def __call__(self, observations: Observations, agents: list[str]) -> Actions:
        """An action of each agent."""
        read, game = self._read, self._read.game
        settings, prices = game.settings, game.rules.prices
        actions, costs = {}, []
        for agent in agents:
            if agent == PROVIDER:
                continue
            seen = observations[agent]
            seconds, joules = read.takes(seen, settings.clients)
            cost = np.where(seconds <= settings.deadline_s, joules * settings.worth.joule, np.inf)
            best = np.unravel_index(int(cost.argmin()), cost.shape)
            price = float(read.of("client", seen, "price")[0]) * prices[-1]
            actions[agent] = np.array([int(cost[best] < price), *best])
            costs.append(float(cost[best]))
        dearest = max((cost for cost in costs if np.isfinite(cost)), default=0.0)
        level = min(int(np.searchsorted(prices, dearest, side="right")), len(prices) - 1)
        seen = observations[PROVIDER]
        spent = len(costs) * prices[level] + settings.worth.second * settings.deadline_s * float(
            read.of("provider", seen, "seconds")[0]
        )
        actions[PROVIDER] = np.array([level, int(settings.worth.provider * read.recent_gain(seen) > spent)])
        return actions


class Planned:
    """For all together: everybody who can be in time takes part with the same settings, until it does not pay.

    Another round follows while the last ones gained all agents together more than a round costs. The settings are the
    best, but for noise, of the 27 with up to 8 bits and 0.1 W on 24 training episodes.

    Args:
        env: Where it will play.
        epochs: Place among the epochs to choose from.
        bits: Place among the bits.
        power: Place among the powers.
    """

    def __init__(self, env: FederatedEnv, epochs: int = 1, bits: int = 1, power: int = 0) -> None:
        self._read, settings = _Reader(env), env.game.settings
        levels = len(settings.epochs), len(settings.bits), len(env.game.rules.powers_w)
        self._chosen = tuple(min(place, n - 1) for place, n in zip((epochs, bits, power), levels, strict=True))

    def __call__(self, observations: Observations, agents: list[str]) -> Actions:
        """An action of each agent."""
        read, settings = self._read, self._read.game.settings
        clients = [agent for agent in agents if agent != PROVIDER]
        taken = [read.takes(observations[agent], settings.clients) for agent in clients]
        seconds, joules = (np.array([both[i][self._chosen] for both in taken]) for i in range(2))
        joins = seconds <= settings.deadline_s
        cost = settings.worth.joule * joules[joins].sum() + settings.worth.second * seconds[joins].max(initial=0.0)
        worth = settings.worth.provider + settings.clients * settings.worth.client
        goes_on = read.recent_gain(observations[PROVIDER]) * worth > cost
        actions = {agent: np.array([int(join), *self._chosen]) for agent, join in zip(clients, joins, strict=True)}
        return {**actions, PROVIDER: np.array([settings.first_price, int(goes_on)])}
