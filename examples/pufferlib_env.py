"""PufferLib: many markets as one native environment, whose arrays PufferLib owns.

Shows that `AgentBatch` has the form of a `PufferEnv`: rows of agents, filled in place. Needs pufferlib-core 3.0, or
PufferLib where it can be built.

    python examples/pufferlib_env.py --steps 1000
"""

import argparse
import time
from typing import Any

import pufferlib
import pufferlib.vector

from edge_experts.envs import AgentBatch


class Market(pufferlib.PufferEnv):
    """Agents of one role in many worlds; arguments as `AgentBatch`."""

    def __init__(
        self, buf: Any = None, seed: int = 0, scenario: str = "edge_experts/text-v1", **arguments: Any
    ) -> None:
        self.batch = AgentBatch(scenario, seed=seed, **arguments)
        self.single_observation_space = self.batch.single_observation_space
        self.single_action_space = self.batch.single_action_space
        self.num_agents = self.batch.num_agents
        super().__init__(buf)

    def reset(self, seed: int | None = None) -> tuple[Any, list[dict[str, Any]]]:
        """Begin an episode in every world."""
        self.batch.reset(seed)
        return self._fill()[0], []

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Play a slot in every world."""
        infos = self.batch.step(actions)[-1]
        return (*self._fill(), infos)

    def _fill(self) -> tuple[Any, ...]:
        for name in ("observations", "rewards", "terminals", "truncations", "masks"):
            getattr(self, name)[:] = getattr(self.batch, name)
        return self.observations, self.rewards, self.terminals, self.truncations

    def close(self) -> None:
        """Nothing to release."""


def main() -> None:
    """Step two environments of 64 worlds, and say how fast."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    settings = {"env_kwargs": {"n_worlds": 64}, "num_envs": 2, "backend": pufferlib.vector.Serial}
    envs = pufferlib.vector.make(Market, **settings)
    envs.reset(seed=1)
    actions, began = envs.action_space.sample(), time.perf_counter()
    for _ in range(arguments.steps):
        _, rewards, *_ = envs.step(actions)
    took = time.perf_counter() - began
    print(f"{len(rewards)} agents, {len(rewards) * arguments.steps / took:,.0f} steps of an agent a second")


if __name__ == "__main__":
    main()
