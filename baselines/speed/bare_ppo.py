"""PPO with nothing around it, on a `World`: the ceiling that any framework on this machine can be compared with.

The same networks, batch, minibatches and number of updates as MoE-PPO through RLlib, in one plain loop: no configuration,
workers, metrics, schedules or checkpoints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edge_experts.agents.mixture.routers import balance_loss
from edge_experts.agents.networks.actor_critic import ROUTING, MixtureActorCritic
from edge_experts.agents.sampling.batches import thinned
from edge_experts.agents.sampling.gae import generalised_advantages
from edge_experts.envs import World
from edge_experts.envs.api.spaces import RoleSpaces
from edge_experts.envs.sim.spec import ROLES


class BarePPO:
    """One policy per role, trained on a `World`.

    Args:
        world: The worlds to train on.
        settings: An RLlib PPO configuration, of which the numbers are taken.
        slots: Slots of one iteration.
    """

    def __init__(self, world: World, settings: Any, slots: int) -> None:
        self.world, self.settings, self.slots = world, settings, slots
        self.spaces = {role: RoleSpaces(role, world.sizes) for role in ROLES}
        model = {
            "branches": getattr(settings, "branches", 1),
            "top_k": getattr(settings, "top_k", 1),
            "hidden": settings.hidden,
        }
        self.modules = {
            role: MixtureActorCritic(observation_space=s.observation, action_space=s.action, model_config=model)
            for role, s in self.spaces.items()
        }
        self.optimisers = {
            role: torch.optim.Adam(module.parameters(), fused=True) for role, module in self.modules.items()
        }
        self.rng = np.random.default_rng(0)
        world.reset()

    def iterate(self) -> float:
        """Sample and learn once; returns the mean reward of an agent and slot."""
        columns, rewards = self._sample()
        for role, rows in columns.items():
            self._learn(role, rows)
        return rewards

    def _seen(self, role: str) -> dict[str, torch.Tensor]:
        observation, mask = self.world.views.of(role)
        columns = self.spaces[role].mask_columns
        return {
            "observation": torch.from_numpy(observation.reshape(-1, observation.shape[-1]).copy()),
            "action_mask": torch.from_numpy(mask.reshape(-1, mask.shape[-1])[:, columns]),
        }

    @torch.inference_mode()
    def _sample(self) -> tuple[dict[str, dict[str, torch.Tensor]], float]:
        history: dict[str, list[dict[str, Any]]] = {role: [] for role in ROLES}
        total = 0.0
        for _ in range(self.slots):
            played = []
            for role in ROLES:
                seen, module = self._seen(role), self.modules[role]
                out = module.forward_train({"obs": seen})
                distribution = module.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
                actions = distribution.sample()
                values = module.compute_values({"obs": seen}, out["embeddings"])
                logp = distribution.logp(actions)
                history[role].append({**seen, "actions": actions, "logp": logp, "values": values})
                mine = self.spaces[role].to_world(actions.numpy())
                played.append(mine.reshape(self.world.n_worlds, -1, mine.shape[-1]))
            self.world.step(*played)
            for role in ROLES:
                record = self.world.state.devices if role == "device" else self.world.state.providers
                ends = {name: np.array(record[name]).reshape(-1) for name in ("terminated", "truncated")}
                reward = np.asarray(record.reward, np.float32).reshape(-1)
                history[role][-1].update(reward=reward, **ends)
                total += float(reward.mean())
        return {role: self._rows(role, rows) for role, rows in history.items()}, total / (2 * self.slots)

    def _rows(self, role: str, history: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        values = np.stack([step["values"].numpy() for step in history])
        last = self.modules[role].compute_values({"obs": self._seen(role)}).numpy()
        following = np.concatenate([values[1:], last[None]])
        stacked = {name: np.stack([step[name] for step in history]) for name in ("reward", "terminated", "truncated")}
        s = self.settings
        advantages = generalised_advantages(
            stacked["reward"], values, following, stacked["terminated"], stacked["truncated"], s.gamma, s.lambda_
        )
        names = ("observation", "action_mask", "actions", "logp")
        rows = {name: torch.cat([step[name] for step in history]) for name in names}
        rows["advantages"] = torch.from_numpy(advantages.reshape(-1))
        rows["targets"] = torch.from_numpy((advantages + values).reshape(-1))
        kept = thinned(rows["action_mask"].numpy(), self.spaces[role].nvec, s.no_choice_fraction, self.rng)
        rows = {name: value[torch.from_numpy(kept)].clone() for name, value in rows.items()}
        spread = rows["advantages"]
        rows["advantages"] = (spread - spread.mean()) / spread.std().clamp(min=1e-4)
        return rows

    def _learn(self, role: str, rows: dict[str, torch.Tensor]) -> None:
        count = max(1, round(self.slots * self.world.n_worlds / self.settings.minibatch_size))
        learn(self.modules[role], self.optimisers[role], rows, self.settings, count)


def learn(module: MixtureActorCritic, optimiser: Any, rows: dict[str, torch.Tensor], settings: Any, count: int) -> None:
    """PPO's updates of one network.

    Args:
        module: The network.
        optimiser: Of its weights.
        rows: observation, action_mask, actions, logp, advantages (standardised) and targets, (rows, ...) each.
        settings: With PPO's numbers by RLlib's names.
        count: Minibatches of a pass.
    """
    s = settings
    for _ in range(s.num_epochs):
        for chosen in torch.randperm(len(rows["logp"])).chunk(count):
            part = {name: value[chosen] for name, value in rows.items()}
            seen = {"observation": part["observation"], "action_mask": part["action_mask"]}
            out = module.forward_train({"obs": seen})
            distribution = module.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
            ratio = torch.exp(distribution.logp(part["actions"]) - part["logp"])
            clipped = ratio.clamp(1 - s.clip_param, 1 + s.clip_param)
            loss = -torch.min(part["advantages"] * ratio, part["advantages"] * clipped).mean()
            values = module.compute_values({"obs": seen}, out["embeddings"])
            loss = loss + s.vf_loss_coeff * ((values - part["targets"]) ** 2).mean()
            if ROUTING in out and hasattr(s, "balance_coeff"):
                routing = out[ROUTING]
                loss = loss + s.balance_coeff * balance_loss(routing.weights, routing.probabilities)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
