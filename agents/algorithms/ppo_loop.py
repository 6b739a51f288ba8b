"""PPO with nothing around it: collect from a `World`, learn, again.

No configuration, workers, metrics or checkpoints. It trains deviators against frozen policies, and it is the ceiling
that any framework on this machine can be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from edge_experts.envs import Policy, World
from edge_experts.envs.api.spaces import RoleSpaces, role_spaces
from edge_experts.envs.sim.spec import ROLES
from edge_experts.envs.sim.world import Views

from ..mixture.routers import balance_loss
from ..networks.actor_critic import ROUTING, MixtureActorCritic
from ..sampling.batches import thinned
from ..sampling.gae import generalised_advantages, standardised
from .ppo_loss import surrogate_loss, value_loss

Rows = dict[str, torch.Tensor]


@dataclass(frozen=True)
class PPOSettings:
    """PPO's numbers, by RLlib's names."""

    slots: int = 32
    """Slots of every world in one `collect`."""
    num_epochs: int = 4
    minibatch_size: int = 256
    """Environment steps of a minibatch, which holds the rows of all trainees' agents of so many steps."""
    lr: float = 1e-3
    gamma: float = 0.9
    lambda_: float = 0.95
    clip_param: float = 0.2
    vf_loss_coeff: float = 1.0
    balance_coeff: float = 0.0
    """Weight of the load-balancing loss of a mixture."""
    no_choice_fraction: float = 0.0
    """Share of the rows without a choice (one legal action) that are learned from."""

    @classmethod
    def read(cls, config: Any, slots: int) -> PPOSettings:
        """The numbers of an RLlib PPO configuration."""
        known = {field.name: getattr(config, field.name) for field in fields(cls) if hasattr(config, field.name)}
        return cls(**{**known, "slots": slots, "lr": cls.lr if isinstance(config.lr, list) else config.lr})


def rows_of(role: str, world: World, views: Views, worlds: Any = slice(None), agents: Any = slice(None)) -> Rows:
    """What some agents of a role see in some worlds: rows (worlds x agents, ...)."""
    observation, mask = (array[worlds][:, agents] for array in views.of(role))
    shown = role_spaces(role, world.sizes).shown_mask(mask)
    return {
        "observation": torch.from_numpy(observation.reshape(-1, observation.shape[-1])),
        "action_mask": torch.from_numpy(shown.reshape(-1, shown.shape[-1])),
    }


class Trainee:
    """Agents of one role that share a network and learn.

    Args:
        role: Their role.
        agents: Their indices in a world, (n,).
        module: The network.
        lr: Learning rate.
    """

    agents: NDArray[np.int64]
    module: MixtureActorCritic
    role: str

    def __init__(self, role: str, agents: NDArray[np.int64], module: MixtureActorCritic, lr: float = 1e-3) -> None:
        self.role, self.agents, self.module = role, agents, module
        self.optimiser: torch.optim.Adam = torch.optim.Adam(module.parameters(), lr=lr, fused=True)

    def spaces(self, world: World) -> RoleSpaces:
        """The spaces of its role."""
        return role_spaces(self.role, world.sizes)

    def seen(self, world: World, views: Views) -> Rows:
        """What its agents see: rows (worlds x agents, ...)."""
        return rows_of(self.role, world, views, agents=self.agents)

    def actions_of(self, picked: torch.Tensor, world: World) -> NDArray[np.int64]:
        """What its agents picked, as the world takes it: (worlds, agents, parts)."""
        shape = (world.n_worlds, len(self.agents), *picked.shape[1:])
        return self.spaces(world).to_world(picked.numpy().reshape(shape))

    def values(self, seen: Rows) -> NDArray[np.float32]:
        """Values of what is seen: (rows,)."""
        values: NDArray[np.float32] = self.module.compute_values({"obs": seen}).numpy()
        return values


@torch.inference_mode()
def collect(
    world: World,
    trainees: Sequence[Trainee],
    settings: PPOSettings,
    rng: np.random.Generator,
    others: Policy | None = None,
) -> tuple[list[Rows], float]:
    """Play some slots and work out what is learned from them.

    Args:
        world: Played on from where it stands.
        trainees: Who draw their actions and learn.
        settings: Of PPO.
        rng: Chooses which rows without a choice are kept.
        others: Plays all other agents; by default they do what nobody tells them.

    Returns:
        For each trainee its rows: observation, action_mask, actions, logp, advantages (standardised) and targets; and
            the
        mean reward of a trainee's agent in a slot.
    """
    histories: list[list[dict[str, Any]]] = [[] for _ in trainees]
    total = 0.0
    for _ in range(settings.slots):
        actions = _actions(world, others)
        for trainee, history in zip(trainees, histories, strict=True):
            seen = trainee.seen(world, world.views)
            out = trainee.module.forward_train({"obs": seen})
            distribution = trainee.module.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
            picked = distribution.sample()
            values = trainee.module.compute_values({"obs": seen}, out["embeddings"]).numpy()
            live = world.present(trainee.role)[:, trainee.agents].reshape(-1)
            history.append(
                {**seen, "actions": picked, "logp": distribution.logp(picked), "values": values, "live": live}
            )
            actions[trainee.role][:, trainee.agents] = trainee.actions_of(picked, world)
        world.step(*(actions[role] for role in ROLES))
        for trainee, history in zip(trainees, histories, strict=True):
            history[-1] |= _outcome(world, trainee)
            total += float(history[-1]["reward"].mean()) / len(trainees)
    return [
        _rows(world, *pair, settings, rng) for pair in zip(trainees, histories, strict=True)
    ], total / settings.slots


def _actions(world: World, others: Policy | None) -> dict[str, NDArray[np.int64]]:
    """Actions of all agents by role: those of a policy, or what is done when nobody tells."""
    given = others.act(world) if others is not None else (None, None)
    pairs = zip(ROLES, given, strict=True)
    return {role: world.default_actions(role) if acts is None else np.array(acts) for role, acts in pairs}


def _outcome(world: World, trainee: Trainee) -> dict[str, Any]:
    """Rewards and ends of the slot just played, and the values of what was seen last where an episode was cut."""
    record = world.records(trainee.role)[:, trainee.agents]
    ends = {name: np.array(record[name]).reshape(-1) for name in ("terminated", "truncated")}
    last = np.zeros(len(ends["truncated"]), np.float32)
    if ends["truncated"].any():
        last = np.where(ends["truncated"], trainee.values(trainee.seen(world, world.final_views)), last)
    return {"reward": np.asarray(record.reward, np.float32).reshape(-1), **ends, "last": last}


def _rows(
    world: World, trainee: Trainee, history: list[dict[str, Any]], settings: PPOSettings, rng: np.random.Generator
) -> Rows:
    """What a trainee learns from its history."""
    names = ("reward", "values", "terminated", "truncated", "last", "live")
    column = {name: np.stack([step[name] for step in history]) for name in names}
    after = trainee.values(trainee.seen(world, world.views))
    following = np.where(column["truncated"], column["last"], np.concatenate([column["values"][1:], after[None]]))
    advantages = generalised_advantages(
        column["reward"],
        column["values"],
        following,
        column["terminated"],
        column["truncated"],
        settings.gamma,
        settings.lambda_,
    )
    rows = {name: torch.cat([s[name] for s in history]) for name in ("observation", "action_mask", "actions", "logp")}
    rows["advantages"] = torch.from_numpy(advantages.reshape(-1))
    rows["targets"] = torch.from_numpy((advantages + column["values"]).reshape(-1))
    nvec = trainee.spaces(world).nvec
    kept = column["live"].reshape(-1) & thinned(rows["action_mask"].numpy(), nvec, settings.no_choice_fraction, rng)
    rows = {name: value[torch.from_numpy(kept)].clone() for name, value in rows.items()}
    rows["advantages"] = standardised(rows["advantages"])
    return rows


def learn(trainee: Trainee, rows: Rows, settings: PPOSettings, minibatches: int) -> None:
    """PPO's updates of one network.

    Args:
        trainee: Whose network.
        rows: As `collect` returns them.
        settings: Of PPO.
        minibatches: Of one pass over the rows.
    """
    module = trainee.module
    shown = {name: rows[name] for name in ("observation", "action_mask")}
    module.look_over({Columns.OBS: shown, Postprocessing.VALUE_TARGETS: rows["targets"]})
    scale = module.value_scale
    for _ in range(settings.num_epochs):
        for chosen in torch.randperm(len(rows["logp"])).chunk(minibatches):
            part = {name: value[chosen] for name, value in rows.items()}
            seen = {"observation": part["observation"], "action_mask": part["action_mask"]}
            out = module.forward_train({"obs": seen})
            distribution = module.get_train_action_dist_cls().from_logits(out["action_dist_inputs"])
            logp = distribution.logp(part["actions"])
            values = module.compute_values({"obs": seen}, out["embeddings"])
            loss = surrogate_loss(logp, part["logp"], part["advantages"], settings.clip_param)
            loss = loss + settings.vf_loss_coeff * value_loss(values / scale, part["targets"] / scale)
            for routing in out.get(ROUTING, {}).values() if settings.balance_coeff else ():
                loss = loss + settings.balance_coeff * balance_loss(routing.weights, routing.probabilities)
            trainee.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            trainee.optimiser.step()
