"""NAME: a PettingZoo parallel environment to begin with; after a change `edge-experts validate` tells what is wrong."""

import gymnasium
import numpy as np
from pettingzoo import ParallelEnv


class NewEnv(ParallelEnv):
    """Three bidders see what a thing is worth to them and bid; the highest bid wins and pays what it said.

    Observation: `observation`, (2,): the value, and the share of the rounds that are over; `action_mask`, (11,): a bid
    above the value is not legal. Action: the bid, in tenths. Reward: value less payment to the winner, 0 to the others.

    Args:
        rounds: Of an episode.
    """

    metadata = {"name": "NAME-v0", "render_modes": ["ansi"]}

    def __init__(self, rounds=8, render_mode=None):
        """Name the agents and build their spaces, once."""
        self.rounds, self.render_mode = rounds, render_mode
        self.possible_agents, self.agents = [f"bidder_{i}" for i in range(3)], []
        self._seen = gymnasium.spaces.Dict(
            {
                "observation": gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32),
                "action_mask": gymnasium.spaces.MultiBinary(11),
            }
        )
        self._played = gymnasium.spaces.Discrete(11)

    def observation_space(self, agent):
        """The same object at every call."""
        return self._seen

    def action_space(self, agent):
        """The same object at every call."""
        return self._played

    def reset(self, seed=None, options=None):
        """Begin an episode; all randomness is drawn from a generator that the seed sets."""
        if seed is not None or not hasattr(self, "_rng"):
            self._rng = np.random.default_rng(seed)
        self.agents, self.round, self.last = self.possible_agents.copy(), 0, ""
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions):
        """Let everybody bid; `terminated` is for real ends, a limit of time is `truncated`."""
        bids = np.array([actions[agent] for agent in self.possible_agents]) / 10
        winner = int(bids.argmax())
        rewards = dict.fromkeys(self.possible_agents, 0.0)
        rewards[self.possible_agents[winner]] = float(self._values[winner] - bids[winner])
        self.round, self.last = self.round + 1, f"{self.possible_agents[winner]} wins with {bids[winner]:.1f}"
        over = self.round == self.rounds
        observations = self._observe()
        if over:
            self.agents = []
        terminated, truncated = dict.fromkeys(rewards, False), dict.fromkeys(rewards, over)
        return observations, rewards, terminated, truncated, {agent: {} for agent in rewards}

    def _observe(self):
        self._values = self._rng.random(3)
        seen = {}
        for agent, value in zip(self.possible_agents, self._values, strict=True):
            mask = (np.arange(11) / 10 <= value).astype(np.int8)
            seen[agent] = {"observation": np.array([value, self.round / self.rounds], np.float32), "action_mask": mask}
        return seen

    def render(self):
        """The last round as text."""
        return f"round {self.round}: {self.last}"
