"""Soft actor-critic with exact masks: over joint choices, over preferences in a box, or by diffusion (D2SAC)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.algorithms.sac.sac import SAC, SACConfig
from ray.rllib.algorithms.sac.sac_learner import (
    ACTION_LOG_PROBS,
    ACTION_LOG_PROBS_NEXT,
    ACTION_PROBS,
    ACTION_PROBS_NEXT,
    QF_PREDS,
    QF_TARGET_NEXT,
    QF_TWIN_PREDS,
)
from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import Tensor, nn

from ..entities.reader import Seen
from ..networks.actor_critic import LOG_STD_RANGE
from ..networks.diffusion import DiffusionActor
from ..networks.distributions import mask_logits
from ..networks.flat import FlatHead, FlatReader
from ..networks.joint_actions import JointActionModule, Torso, added_up
from .off_policy import ReplayConfig, ReplayLearner, ReplayTraining

ACTORS = ("categorical", "box", "diffusion")
LOWEST_LOG = -100.0  # of a probability; that of an illegal choice, which is zero, has none
MASS = 1e-6


class MaskedSACConfig(ReplayConfig, SACConfig):  # type: ignore[misc]
    """Configuration of SAC with exact masks.

    Args of `training`, beside SAC's own and those of `NetworkConfig`:
        actor: `categorical`: probabilities of each part's choices, of which the joint choice is made, and exact
            expectations over the joint choices (Christodoulou, "Soft actor-critic for discrete action settings",
            2019). `box`: a number in [-1, 1] for each choice of each part, of which the highest legal ones are
            played, and SAC for continuous
            actions. `diffusion`: as `categorical`, with preferences made by a `DiffusionActor` (D2SAC).
        denoising_steps: Of the diffusion.
        target_entropy_fraction: Entropy that the temperature aims at, as a share of that of a uniform choice among
            the legal ones; with `box`, the aim is minus one nat for each legal choice instead.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskedSAC)
        self.actor = "categorical"
        self.denoising_steps = 5
        self.target_entropy_fraction: float = 0.1
        self.replay_buffer_config: dict[str, Any] = {
            **self.replay_buffer_config,
            "capacity": 200_000,
            "alpha": 0.0,
            "beta": 0.0,
        }

    def training(
        self,
        *,
        actor: Any = NotProvided,
        denoising_steps: Any = NotProvided,
        target_entropy_fraction: Any = NotProvided,
        **kwargs: Any,
    ) -> MaskedSACConfig:
        """Set the actor and any of SAC's settings."""
        super().training(**kwargs)
        self._take(actor=actor, denoising_steps=denoising_steps, target_entropy_fraction=target_entropy_fraction)
        return self

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()
        if self.network != "flat" and self.actor != "categorical":
            raise ValueError(
                f"network: {self.network!r} scores choices one by one, and actor '{self.actor}' makes the numbers of "
                "all at once: take 'flat', or actor 'categorical'"
            )
        if self.actor not in ACTORS:
            raise ValueError(f"actor: {self.actor!r} is not one of {', '.join(ACTORS)}")
        if not isinstance(self.denoising_steps, int) or self.denoising_steps < 1:
            raise ValueError(f"denoising_steps: {self.denoising_steps!r} must be 1 or more")
        if not 0 <= self.target_entropy_fraction < 1:
            raise ValueError(
                f"target_entropy_fraction: {self.target_entropy_fraction!r} must be at least 0 and below 1"
            )
        if not self.twin_q:
            raise ValueError("twin_q: False is not for this SAC, whose two critics correct each other: leave it True")

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        own = {"actor": self.actor, "denoising_steps": self.denoising_steps}
        return {**super()._model_config_auto_includes, **own}

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Actor and critics that take masks and several action parts."""
        return RLModuleSpec(module_class=BoxSACModule if self.actor == "box" else ChoiceSACModule)

    def get_default_learner_class(self) -> type:
        """The learner for ready-made batches."""
        return MaskedSACLearner


class SACModule(JointActionModule, QNetAPI, TargetNetworkAPI):  # type: ignore[misc]
    """Two critics with older copies of themselves; the names of the parts are those that RLlib's learner looks for."""

    qf_encoder: Torso
    qf_twin_encoder: Torso
    qf: Any
    qf_twin: Any

    def _build_critics(self, more: int = 0) -> None:
        """Build both.

        Args:
            more: Size of what they judge beside the observation; 0: they judge all joint choices at once.
        """
        self.qf_encoder, self.qf_twin_encoder = self.torso(more), self.torso(more)
        self.qf, self.qf_twin = (
            FlatHead(torso.size, 1) if more else self.joint_head(torso.size)
            for torso in (self.qf_encoder, self.qf_twin_encoder)
        )

    def make_target_networks(self) -> None:
        """Copy the critics."""
        for name in ("qf_encoder", "qf", "qf_twin_encoder", "qf_twin"):
            setattr(self, f"target_{name}", copy.deepcopy(getattr(self, name)).requires_grad_(False))

    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Each part of the critics with its older copy."""
        names = ("qf_encoder", "qf", "qf_twin_encoder", "qf_twin")
        return [(getattr(self, name), getattr(self, f"target_{name}")) for name in names]

    def get_non_inference_attributes(self) -> list[str]:
        """Parts that playing does not need."""
        names = ("qf_encoder", "qf", "qf_twin_encoder", "qf_twin")
        return [*names, *(f"target_{name}" for name in names)]

    def critics(self, judged: Seen, prefix: str = "") -> tuple[Tensor, Tensor]:
        """Values by both critics, or by their older copies: (batch, outputs) each."""
        first, second = (
            self._scores(getattr(self, f"{prefix}{name}"), getattr(self, f"{prefix}{name}_encoder")(judged))
            for name in ("qf", "qf_twin")
        )
        return first, second

    def _scores(self, head: nn.Module, seen: Seen) -> Tensor:
        """What a critic's head says."""
        return self.joint_scores(head, seen)

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The lower of both critics' values."""
        return {QF_PREDS: torch.min(*self.critics(self._judged(batch)))}

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The same of the older copies."""
        with torch.no_grad():
            return {QF_PREDS: torch.min(*self.critics(self._judged(batch), "target_"))}

    def _judged(self, batch: dict[str, Any]) -> Seen:
        return self.seen(batch[Columns.OBS])


class ChoiceSACModule(SACModule):
    """Critics of all joint choices, and an actor that gives every part of an action its probabilities."""

    def setup(self) -> None:
        """Build the networks for the module's spaces."""
        super().setup()
        self._build_critics()
        if self.model_config["actor"] == "diffusion":
            self.pi_encoder: nn.Module = nn.Identity()
            assert isinstance(self.reader, FlatReader)
            self.pi: nn.Module = DiffusionActor(
                self.reader.size, self.hidden, sum(self.counts), self.model_config["denoising_steps"]
            )
        else:
            self.pi_encoder = self.torso()
            self.pi = self.part_head(self.pi_encoder.size)

    def preferences(self, observation: dict[str, Tensor], is_random: bool) -> Tensor:
        """Masked preferences of all parts side by side: (batch, sum of counts)."""
        features = self.pi_encoder(self.seen(observation))
        is_diffusion = isinstance(self.pi, DiffusionActor)
        outputs = self.pi(features.vector, is_random=is_random) if is_diffusion else self.pi(*features)
        return mask_logits(outputs, observation["action_mask"])

    def log_probabilities(self, observation: dict[str, Tensor], is_random: bool = True) -> Tensor:
        """Of all joint choices: (batch, choices); at most `LOWEST_LOG` for illegal ones, whose probability is zero."""
        parts = self.preferences(observation, is_random).split(self.counts, dim=-1)
        return added_up([torch.log_softmax(part, dim=-1) for part in parts])

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        now, later = batch[Columns.OBS], batch[Columns.NEXT_OBS]
        logs = self.log_probabilities(now)
        with torch.no_grad():
            later_logs = self.log_probabilities(later)
        first, second = self.critics(self.seen(now))
        return {
            QF_PREDS: first,
            QF_TWIN_PREDS: second,
            QF_TARGET_NEXT: self.forward_target({Columns.OBS: later})[QF_PREDS],
            ACTION_PROBS: logs.exp(),
            ACTION_LOG_PROBS: logs.clamp(min=LOWEST_LOG),
            ACTION_PROBS_NEXT: later_logs.exp(),
            ACTION_LOG_PROBS_NEXT: later_logs.clamp(min=LOWEST_LOG),
        }

    def target_entropy(self, batch: dict[str, Any], share: float) -> Tensor:
        """Entropy that the temperature aims at: (batch,)."""
        return share * self.legal(batch[Columns.OBS]).sum(dim=-1).float().log()

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.chosen(self.log_probabilities(batch[Columns.OBS], is_random=False).argmax(dim=-1))

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.chosen(torch.multinomial(self.log_probabilities(batch[Columns.OBS]).exp(), 1).squeeze(-1))


class BoxSACModule(SACModule):
    """An actor that gives every choice of every part a number in [-1, 1], and critics of these numbers.

    Numbers of illegal choices are held at zero and add nothing to the likelihood.
    """

    def setup(self) -> None:
        """Build the networks for the module's spaces."""
        super().setup()
        size = sum(self.counts)
        self._build_critics(size)
        self.pi_encoder: Torso = self.torso()
        self.pi: FlatHead = FlatHead(self.pi_encoder.size, 2 * size)

    def _judged(self, batch: dict[str, Any]) -> Seen:
        seen = self.seen(batch[Columns.OBS])
        return Seen(torch.cat([seen.vector, batch[Columns.ACTIONS]], dim=-1), None)

    def _scores(self, head: nn.Module, seen: Seen) -> Tensor:
        return head(*seen)  # type: ignore[no-any-return]

    def drawn(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Reparametrised draw (batch, numbers) and its log-likelihood (batch,)."""
        mean, log_std = self._normal(observation)
        noise = torch.randn_like(mean)
        numbers = torch.tanh(mean + log_std.exp() * noise)
        log = -0.5 * noise**2 - log_std - 0.5 * float(np.log(2 * np.pi)) - torch.log(1 - numbers**2 + MASS)
        mask = observation["action_mask"].float()
        return numbers * mask, (log * mask).sum(dim=-1)

    def _normal(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        mean, log_std = self.pi(*self.pi_encoder(self.seen(observation))).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        now, later = batch[Columns.OBS], batch[Columns.NEXT_OBS]
        numbers, log = self.drawn(now)
        with torch.no_grad():
            later_numbers, later_log = self.drawn(later)
        first, second = self.critics(self._judged(batch))
        critics = [self.qf_encoder, self.qf, self.qf_twin_encoder, self.qf_twin]
        for part in critics:  # the actor's loss passes through the critics, and leaves them as they are
            part.requires_grad_(False)
        own = self.compute_q_values({Columns.OBS: now, Columns.ACTIONS: numbers})[QF_PREDS]
        for part in critics:
            part.requires_grad_(True)
        target = self.forward_target({Columns.OBS: later, Columns.ACTIONS: later_numbers})[QF_PREDS]
        return {
            QF_PREDS: first.squeeze(-1),
            QF_TWIN_PREDS: second.squeeze(-1),
            "q_curr": own.squeeze(-1),
            "q_target_next": target.squeeze(-1),
            "logp_resampled": log,
            "logp_next_resampled": later_log,
        }

    def target_entropy(self, batch: dict[str, Any], share: float) -> Tensor:
        """Entropy that the temperature aims at: (batch,)."""
        return -batch[Columns.OBS]["action_mask"].float().sum(dim=-1)

    def played(self, numbers: Tensor, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """What a pass returns for numbers (batch, numbers): they, and the highest legal choice of each part."""
        wanted = torch.where(observation["action_mask"].bool(), numbers, -torch.inf).split(self.counts, dim=-1)
        picks = [part.argmax(dim=-1) for part in wanted]
        for_env = picks[0] if len(picks) == 1 else torch.stack(picks, dim=-1)
        return {Columns.ACTIONS: numbers, Columns.ACTIONS_FOR_ENV: for_env}

    def random_choice(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Uniformly random legal choices."""
        mask = batch[Columns.OBS]["action_mask"].float()
        return self.played((2 * torch.rand_like(mask) - 1) * mask, batch[Columns.OBS])

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        observation = batch[Columns.OBS]
        return self.played(torch.tanh(self._normal(observation)[0]) * observation["action_mask"], observation)

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self.played(self.drawn(batch[Columns.OBS])[0], batch[Columns.OBS])


class MaskedSACLearner(ReplayLearner, SACTorchLearner):  # type: ignore[misc]
    """SAC's losses on batches of the replay buffer, with an aim of the entropy for each row."""

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """RLlib's losses of critics and actor; the temperature aims at the module's `target_entropy`."""
        module = self.module[module_id].unwrapped()
        is_box = isinstance(module, BoxSACModule)
        losses = self._compute_loss_for_module_continuous if is_box else self._compute_loss_for_module_discrete
        total: Tensor = losses(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        if is_box:
            entropy = -fwd_out["logp_resampled"].detach()
        else:
            entropy = -(fwd_out[ACTION_PROBS] * fwd_out[ACTION_LOG_PROBS]).sum(dim=-1).detach()
        gap = entropy - module.target_entropy(batch, config.target_entropy_fraction)
        key = (module_id, "alpha_loss")
        aimed = (self.curr_log_alpha[module_id] * gap).mean()
        total = total - self._temp_losses[key] + aimed
        self._temp_losses[key] = aimed
        return total


class MaskedSAC(ReplayTraining, SAC):  # type: ignore[misc]
    """SAC that samples with the batched runner."""

    @classmethod
    def get_default_config(cls) -> MaskedSACConfig:
        """The default configuration."""
        return MaskedSACConfig()


class D2SACConfig(MaskedSACConfig):
    """Configuration of D2SAC: SAC whose actor is a diffusion model."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or D2SAC)
        self.actor = "diffusion"


class D2SAC(MaskedSAC):
    """SAC whose actor is a diffusion model. Source: Du et al., IEEE Transactions on Mobile Computing 2024."""

    @classmethod
    def get_default_config(cls) -> D2SACConfig:
        """The default configuration."""
        return D2SACConfig()
