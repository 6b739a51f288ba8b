"""An RLlib EnvRunner over `World`: one forward pass per slot and module for all worlds and agents.

RLlib's stock multi-agent runner handles one agent's step at a time. Here the worlds step together on arrays, advantages
are computed on arrays, and the learner gets ready-made batches. Episode callbacks are not called, as there are no
episode objects; `on_sample_end` is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
)

from edge_experts.envs.api.spaces import RoleSpaces
from edge_experts.envs.seeds import EVALUATION_RUNNERS, TRAINING
from edge_experts.envs.sim.spec import ROLES
from edge_experts.envs.sim.world import Views, World

from ..networks.recurrent import MEMORY, RecurrentActorCritic
from .batches import as_sequences, nested, thinned
from .credit import credit_of
from .gae import generalised_advantages
from .rollout_buffer import Group, Rollout, group_agents
from .teacher import LABEL, Teacher
from .turns import choose_in_turn

Array = NDArray[Any]


class BatchedEnvRunner(MultiAgentEnvRunner):  # type: ignore[misc]
    """Samples `num_envs_per_env_runner` worlds and returns one `MultiAgentBatch` with advantages.

    Algorithms that learn from something else have runners that override `_rows_of`.
    """

    num_envs: int
    config: Any

    def make_env(self) -> None:
        """Build one stock environment, which tells the spaces, and the worlds that are sampled."""
        config = self.config
        wanted = config.num_envs_per_env_runner
        self.config = config.copy(copy_frozen=False).env_runners(num_envs_per_env_runner=1)
        super().make_env()
        self.config, self.num_envs = config, wanted
        env = self.env.envs[0].unwrapped.env
        seed = config.seed if config.seed is not None else int(np.random.SeedSequence().generate_state(1)[0])
        stream = EVALUATION_RUNNERS if config.in_evaluation else TRAINING
        self.world: World = World(env.scenario, wanted, stream.key(seed), first_world=(self.worker_index or 0) * wanted)
        self.role_spaces: dict[str, RoleSpaces] = env.role_spaces
        self.groups: list[Group] = group_agents(env.possible_agents, config.policy_mapping_fn)
        self._credit = credit_of("reward" if config.in_evaluation else config.credit, self.world)
        self._teacher = Teacher(config.imitate, self.world) if config.imitate and not config.in_evaluation else None
        self._live: dict[str, Array] | None = None
        self._thinning = np.random.default_rng(seed)

    def make_module(self) -> None:
        """Build the modules with their value heads: advantages are computed here."""
        env = self.env.unwrapped if self.env is not None else None
        spec = self.config.get_multi_rl_module_spec(env=env, spaces=self.get_spaces(), inference_only=False)
        self.module: Any = spec.build()
        for _, module in self.module.items():
            if module.is_stateful() and not isinstance(module.unwrapped(), RecurrentActorCritic):
                raise ValueError(
                    f"runner: {type(module).__name__} is recurrent in a way that the batched runner does not handle; "
                    "use --runner stock"
                )

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[MultiAgentBatch]:
        if self._live is None or force_reset or num_episodes is not None:
            self._begin(staggered=num_episodes is None)
        runners = max(1, self.config.num_env_runners)
        is_taught = self.num_env_steps_sampled_lifetime * runners < self.config.phases.imitated
        rollout = Rollout(self.groups, is_taught)
        finished = 0
        while True:
            over = self._play(rollout, explore, random_actions)
            finished += int(over.sum())
            steps = rollout.slots * self.num_envs
            if num_timesteps is not None and steps >= num_timesteps:
                break
            if num_episodes is not None and finished >= num_episodes:
                break
        self._log(steps, finished, rollout)
        if num_episodes is not None:  # evaluation: only the metrics are wanted
            return [MultiAgentBatch({}, env_steps=steps)]
        return [self._finish(rollout, steps)]

    def _begin(self, staggered: bool) -> None:
        """Begin new episodes; staggered ones end at different times, so that batches hold all parts of episodes."""
        fresh = self._live is None
        self.world.reset(episode=0 if fresh else int(self.world.state.clock.episode.max()) + 1)
        self._is_whole = np.ones(self.num_envs, bool)
        if staggered:
            late = np.arange(self.num_envs) * self.world.scenario.episode.slots // self.num_envs
            self.world.state.clock.slot[:] = late
            self._is_whole = late == 0
        self._live = self._present()
        self._memories = {g.key: memory for g in self.groups if (memory := self._blank(g)) is not None}
        self._agent_returns = {g.key: np.zeros((self.num_envs, len(g.agents))) for g in self.groups}
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._finished: list[tuple[int, dict[tuple[str, str], Array]]] = []

    def _blank(self, group: Group) -> Array | None:
        """What the agents of a group remember at first, (worlds, agents, size), if their module has a memory."""
        module = self.module[group.module]
        if not module.is_stateful():
            return None
        state = module.get_initial_state()[MEMORY].numpy()
        return np.tile(state, (self.num_envs, len(group.agents), 1))

    def _present(self) -> dict[str, Array]:
        return {role: self.world.present(role) for role in ROLES}

    def _play(self, rollout: Rollout, explore: bool, random_actions: bool) -> Array:
        """One slot of all worlds; returns which episodes ended."""
        actions = {role: self.world.default_actions(role) for role in ROLES}
        taught = self._teacher.labels() if self._teacher is not None and rollout.is_taught else {}
        assert self._live is not None
        for group in self.groups:
            seen = self._observe(group, self.world.views)
            with torch.inference_mode():
                chosen = self._act(group, seen, explore, random_actions)
            after = chosen.pop(Columns.STATE_OUT, None)
            if after is not None:
                self._memories[group.key] = after.reshape(self._memories[group.key].shape)
            picked = chosen.pop(Columns.ACTIONS_FOR_ENV, chosen[Columns.ACTIONS])
            rollout.append(group, {**chosen, **seen, "live": self._live[group.role][:, group.agents].copy()})
            if group.role in taught:
                label = taught[group.role][:, group.agents]
                rollout.append(group, {LABEL: label.reshape(-1, *label.shape[2:])})
            played = picked.reshape(self.num_envs, len(group.agents), *picked.shape[1:])
            actions[group.role][:, group.agents] = self.role_spaces[group.role].to_world(played)
        self._credit.watch(actions)
        self.world.step(actions["user"], actions["provider"])
        over: Array = self.world.state.clock.over.copy()
        self._record(rollout, over)
        self._live = self._present()
        rollout.slots += 1
        return over

    def _observe(self, group: Group, views: Views, worlds: Any = slice(None)) -> dict[str, Array]:
        """Observations and masks of a group in some worlds, as rows (worlds x agents, ...)."""
        observation, mask = views.of(group.role)
        columns = self.role_spaces[group.role].mask_columns
        seen = {
            "observation": observation[worlds][:, group.agents].reshape(-1, observation.shape[-1]),
            "action_mask": mask[worlds][:, group.agents][..., columns].reshape(-1, len(columns)),
        }
        if group.key in self._memories:
            memory = self._memories[group.key][worlds]
            seen[MEMORY] = memory.reshape(-1, memory.shape[-1])
        return seen

    def _act(self, group: Group, seen: dict[str, Array], explore: bool, random_actions: bool) -> dict[str, Array]:
        """What a group chooses, all at once or in turn."""
        if self.config.order != "sequential" or group.role != "user":
            return self._choose(group, seen, explore, random_actions)

        def choose(rows: dict[str, Array]) -> dict[str, Array]:
            return self._choose(group, rows, explore, random_actions)

        return choose_in_turn(self.world, group.agents, seen, choose)

    def _choose(self, group: Group, seen: dict[str, Array], explore: bool, random_actions: bool) -> dict[str, Array]:
        module, batch = self.module[group.module], _as_batch(seen)
        out = module.forward_train(batch)
        inputs = out[Columns.ACTION_DIST_INPUTS]
        if random_actions:
            inputs = torch.where(batch[Columns.OBS]["action_mask"].bool(), torch.zeros_like(inputs), inputs)
        distribution = module.get_exploration_action_dist_cls().from_logits(inputs)
        actions = (distribution if explore else distribution.to_deterministic()).sample()
        chosen = {
            Columns.ACTIONS: actions.numpy(),
            Columns.ACTION_LOGP: distribution.logp(actions).numpy(),
            Columns.ACTION_DIST_INPUTS: inputs.numpy(),
        }
        if isinstance(module, ValueFunctionAPI):
            values = module.compute_values(batch, out.get(Columns.EMBEDDINGS))
            chosen[Columns.VF_PREDS] = values.numpy()
        if Columns.STATE_OUT in out:
            chosen[Columns.STATE_OUT] = out[Columns.STATE_OUT][MEMORY].numpy()
        return chosen

    def _values(self, group: Group, seen: dict[str, Array]) -> Array:
        """Values of what a group sees: (worlds, agents)."""
        with torch.inference_mode():
            values: Array = self.module[group.module].compute_values(_as_batch(seen)).numpy()
        return values.reshape(-1, len(group.agents))

    def _record(self, rollout: Rollout, over: Array) -> None:
        """Rewards and ends of the slot just played."""
        self._lengths += 1
        paid = self._credit.paid()
        for group in self.groups:
            record = self.world.records(group.role)
            reward, terminated = record.reward[:, group.agents], record.terminated[:, group.agents].copy()
            truncated = record.truncated[:, group.agents].copy()
            if truncated.any():
                rollout.cut(group, np.flatnonzero(over), self._observe(group, self.world.final_views, over))
            rollout.append(
                group,
                {
                    "reward": paid[group.role][:, group.agents].astype(np.float32),
                    "terminated": terminated,
                    "truncated": truncated,
                },
            )
            self._agent_returns[group.key] += reward
            if group.key in self._memories:  # who leaves, or is not there, remembers nothing
                gone = terminated | truncated | ~rollout.newest(group, "live")
                self._memories[group.key][gone] = self.module[group.module].get_initial_state()[MEMORY].numpy()
        for b in np.flatnonzero(over & self._is_whole):
            returns = {key: value[b].copy() for key, value in self._agent_returns.items()}
            self._finished.append((int(self._lengths[b]), returns))
        for value in self._agent_returns.values():
            value[over] = 0.0
        self._lengths[over] = 0
        self._is_whole |= over

    def _finish(self, rollout: Rollout, steps: int) -> MultiAgentBatch:
        """The batch that the algorithm learns from."""
        parts: dict[str, list[dict[str, Array]]] = {}
        for group in self.groups:
            parts.setdefault(group.module, []).append(self._rows_of(group, rollout))
        batches = {}
        for module, chunks in parts.items():
            whole = {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}
            batches[module] = SampleBatch(nested(whole))
        return MultiAgentBatch(batches, env_steps=steps)

    def _rows_of(self, group: Group, rollout: Rollout) -> dict[str, Array]:
        """What is learned from a group: rows with advantages and value targets, of the agents that were there."""
        data = rollout.stacked(group)
        data.pop(Columns.VF_PREDS, None)
        values, following = self._value_estimates(group, rollout)
        config = self.config.get_config_for_module(group.module)
        terminated, truncated, live = data.pop("terminated"), data.pop("truncated"), data.pop("live")
        rewards = data.pop("reward")
        advantages = generalised_advantages(
            rewards, values, following, terminated, truncated, config.gamma, config.lambda_
        )
        targets = advantages + values
        rollout.targets[group.key] = targets
        nvec, share = self.role_spaces[group.role].nvec, self.config.no_choice_fraction
        keep = live.reshape(-1) & thinned(data["action_mask"], nvec, share, self._thinning)
        if not config.use_kl_loss:
            del data[Columns.ACTION_DIST_INPUTS]
        data[Postprocessing.ADVANTAGES] = advantages.reshape(rollout.slots, -1)
        data[Postprocessing.VALUE_TARGETS] = targets.reshape(rollout.slots, -1)
        if group.key in self._memories:
            return as_sequences(data, terminated | truncated | ~live, keep)
        return {key: value.reshape(-1, *value.shape[2:])[keep] for key, value in data.items()}

    def _value_estimates(self, group: Group, rollout: Rollout) -> tuple[Array, Array]:
        """Values of what a group saw in every slot and of what it saw after it, (T, B, agents) each."""
        data = rollout.stacked(group, (Columns.VF_PREDS, "truncated"))
        values = data[Columns.VF_PREDS].reshape(rollout.slots, self.num_envs, len(group.agents))
        following = np.empty_like(values)
        following[:-1] = values[1:]
        following[-1] = self._values(group, self._observe(group, self.world.views))
        for t, worlds, seen in rollout.cuts(group):
            last = np.zeros(values.shape[1:], np.float32)
            last[worlds] = self._values(group, seen)
            following[t] = np.where(data["truncated"][t], last, following[t])
        return values, following

    def _log(self, steps: int, finished: int, rollout: Rollout) -> None:
        """The stock runner's metrics."""
        self.num_env_steps_sampled_lifetime += steps
        self._count(NUM_ENV_STEPS_SAMPLED, NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, throughput=True)
        self._count(NUM_EPISODES, NUM_EPISODES_LIFETIME, finished)
        for group in self.groups:
            live = rollout.live_steps(group)
            for name, count in zip(group.names, live, strict=True):
                self._count((NUM_AGENT_STEPS_SAMPLED, name), (NUM_AGENT_STEPS_SAMPLED_LIFETIME, name), int(count))
            self._count(
                (NUM_MODULE_STEPS_SAMPLED, group.module),
                (NUM_MODULE_STEPS_SAMPLED_LIFETIME, group.module),
                int(live.sum()),
            )
        for length, returns in self._finished[-self.config.metrics_num_episodes_for_smoothing :]:
            agents: dict[str, float] = {}
            modules, total = dict.fromkeys((g.module for g in self.groups), 0.0), 0.0
            for group in self.groups:
                own = returns[group.key]
                agents.update(zip(group.names, own.tolist(), strict=True))
                modules[group.module] += float(own.sum())
                total += float(own.sum())
            self._log_episode_metrics(length, total, 0.0, agents, modules, dict.fromkeys(agents, length))
        self._finished.clear()

    def _count(self, now: Any, lifetime: Any, value: int, throughput: bool = False) -> None:
        self.metrics.log_value(now, value, reduce="sum")
        self.metrics.log_value(lifetime, value, reduce="lifetime_sum", with_throughput=throughput)


def _as_batch(seen: dict[str, Array]) -> dict[str, Any]:
    return nested({key: torch.from_numpy(value) for key, value in seen.items()})
