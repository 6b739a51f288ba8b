"""An RLlib EnvRunner over several markets: a part of every sample is of each, all played by the same weights.

A slot of a crowded market has a row for each of its agents, so small markets get more slots: a share that goes with one
over the square root of how many act. Between equal slots and equal rows, as languages are sampled by the square root of
their texts in Conneau et al., "Unsupervised cross-lingual representation learning at scale", ACL 2020, section 3.1.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.policy.sample_batch import MultiAgentBatch

from edge_experts.envs import load_scenario

from ..market_names import title_of
from ..markets import settings_of
from ..policy_mapping import MarketMapping
from .batched_runner import BatchedEnvRunner


class OneMarket(BatchedEnvRunner):
    """The runner of one of the markets; its modules are those of all."""

    def make_module(self) -> None:
        """Nothing: `MarketsEnvRunner` brings them."""


def worlds_of(markets: tuple[str, ...], worlds: int) -> list[int]:
    """How many of all worlds are of each market, one at least."""
    weights = [load_scenario(market).acting ** -0.5 for market in markets]
    return [max(1, round(worlds * weight / sum(weights))) for weight in weights]


class MarketsEnvRunner(BatchedEnvRunner):
    """Samples the worlds of all markets in `config.markets`, as many slots of each world."""

    env: Any
    num_envs: int

    def make_env(self) -> None:
        """Build a runner for every market."""
        config = self.config
        self.markets: list[Any] = []
        shares = worlds_of(config.markets, config.num_envs_per_env_runner)
        for market, worlds in zip(config.markets, shares, strict=True):
            own = config.copy(copy_frozen=False)
            own.environment(market, env_config=settings_of(market, config.env_config))
            own.env_runners(num_envs_per_env_runner=worlds)
            own.multi_agent(policy_mapping_fn=MarketMapping(title_of(market)))
            self.markets.append(OneMarket(config=own, worker_index=self.worker_index or 0))
        self.env, self.num_envs = self.markets[0].env, self.markets[0].num_envs

    def make_module(self) -> None:
        """Build the modules, and let every market's runner play with them."""
        super().make_module()
        for market in self.markets:
            market.module, market.metrics = self.module, self.metrics

    def _sample(
        self, *, num_timesteps: int | None = None, num_episodes: int | None = None, **kwargs: Any
    ) -> list[MultiAgentBatch]:
        worlds = sum(market.num_envs for market in self.markets)
        batches = []
        for market in self.markets:
            part: dict[str, Any] = {
                "num_timesteps": None if num_timesteps is None else -(-num_timesteps * market.num_envs // worlds),
                "num_episodes": None if num_episodes is None else -(-num_episodes // len(self.markets)),
            }
            batches += market._sample(**part, **kwargs)
        self.num_env_steps_sampled_lifetime += sum(batch.env_steps() for batch in batches)
        modules = {name: rows for batch in batches for name, rows in batch.policy_batches.items()}
        return [MultiAgentBatch(modules, env_steps=sum(batch.env_steps() for batch in batches))]
