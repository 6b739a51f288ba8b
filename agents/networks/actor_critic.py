"""The networks as RLModules: a mixture of branches for policy, value or both, and exact masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from torch import Tensor, nn

from ..entities.encoder import EntityEncoder
from ..entities.head import EntityHead
from ..entities.reader import MarketReader, Seen
from ..mixture.branches import Mixture
from ..mixture.config import ON_TOKENS, MixtureConfig
from ..mixture.routers import Routing
from ..mixture.tokens import TokenBranches
from .distributions import distribution_for, mask_logits
from .flat import FlatHead, FlatReader
from .running_norm import GathersStatistics

ROUTING = "routing"  # in what a training pass returns: the `Routing` of the batch, by where the branches sit
TRUNK, TOKENS = "trunk", "tokens"  # where they may sit
LOG_STD_RANGE = (-5.0, 2.0)
PLAIN = MixtureConfig()
SLOWLY = 0.9  # how much of the value scale stays at an update


class MixtureActor(TorchRLModule, GathersStatistics):  # type: ignore[misc]
    """Mixture of branches with a policy head on top.

    Observations may be any space that flattens; of a `Dict` with an `action_mask` the mask also enters the network.

    Model config, beside the fields of `MixtureConfig`:
        network: `flat`, a network over the whole observation, or `entities` (see `entities.encoder`).
        identities: Whether an entity network also has weights for every single place.
        hidden: Width of each layer of a branch, and of a trunk without branches; (64, 64) by default. Of an entity
            network, the first is the width of a token, and the trunk over the pool has the others.
        layout: What the observation's columns are, see `observation_layout.layout_of`; none by default.
        plain_width: Width of the plain network that takes the place of the mixture; by default as `control` says.
    """

    action_dist_cls: Any
    inputs: int
    reader: FlatReader | MarketReader
    encoder: nn.Module

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        self.mixture_config: MixtureConfig = MixtureConfig.read(self.model_config)
        self.hidden: tuple[int, ...] = tuple(self.model_config.get("hidden", (64, 64)))
        self.layout: Any = self.model_config.get("layout")
        self.plain_width: int | None = self.model_config.get("plain_width")
        control, several = self.mixture_config.control, self.mixture_config.branches > 1
        if self.plain_width is None and control != "none" and several:
            self.plain_width = self._equal_width(parameter_count if control == "weights" else active_count)
        self.has_mask: bool = (
            isinstance(self.observation_space, gymnasium.spaces.Dict) and "action_mask" in self.observation_space.spaces
        )
        self.action_dist_cls, outputs = distribution_for(self.action_space)
        self.is_box: bool = isinstance(self.action_space, gymnasium.spaces.Box)
        self.is_entities: bool = self.model_config.get("network", "flat") == "entities"
        if self.is_entities:
            assert self.layout is not None, "network: 'entities' needs a layout"
            entities, identities = self.layout["entities"], self.model_config.get("identities", False)
            self.reader = MarketReader(entities)
            encoder = EntityEncoder(self.reader, entities, self.hidden[0], identities)
            self.encoder, self.inputs = encoder, encoder.size
            self.on_tokens = self._on_tokens()
        else:
            self.reader, self.encoder = FlatReader(self.observation_space), nn.Identity()
            self.inputs, self.on_tokens = self.reader.size, None
        self.mixture: Mixture = self._trunk("policy")
        self.policy: Any = self._head(outputs)

    def train(self, mode: bool = True) -> MixtureActor:
        """Set the mode of all layers, where it is another: RLlib asks at every pass, and they are many."""
        return self if self.training == mode else super().train(mode)  # type: ignore[no-any-return]

    def _head(self, outputs: int) -> nn.Module:
        features = self._features_of(self.mixture)
        if self.is_entities:
            return EntityHead(self.layout["role"], self.layout["entities"], self.hidden[0], features)
        return FlatHead(features, outputs)

    def _trunk(self, user: str) -> Mixture:
        """The trunk of the policy or of the value function: the mixture, or a plain network where it sits elsewhere."""
        hidden = self.hidden[1:] or self.hidden if self.is_entities else self.hidden
        if self.mixture_config.placement not in (TRUNK, "both", user):
            return Mixture(self.inputs, hidden, PLAIN)
        if self.plain_width is not None:
            return Mixture(self.inputs, (self.plain_width,) * len(hidden), PLAIN)
        return Mixture(self.inputs, hidden, self.mixture_config)

    def _on_tokens(self) -> TokenBranches | None:
        """What tokens pass before they are pooled: branches, or in their place a plain network; or nothing."""
        if self.mixture_config.placement not in ON_TOKENS or self.mixture_config.branches == 1:
            return None
        if self.plain_width is not None:
            return TokenBranches(self.hidden[0], self.plain_width, PLAIN)
        return TokenBranches(self.hidden[0], max(1, self.hidden[0] // 2), self.mixture_config)

    def _features_of(self, trunk: Mixture) -> int:
        """What a head on a trunk sees: its output and its input; what is linear in that need not pass the branches."""
        return int(trunk.branches.biases[-1].shape[-1]) + self.inputs

    def _equal_width(self, count: Callable[[nn.Module], int]) -> int:
        """Width at which a plain network in place of the mixture makes the module, as nearly as possible, as large.

        Args:
            count: What is to be equal.
        """

        def size(**changes: Any) -> int:
            settings = {**self.model_config, "control": "none", **changes}
            spaces = {"observation_space": self.observation_space, "action_space": self.action_space}
            return count(type(self)(**spaces, model_config=settings))

        with torch.random.fork_rng():  # building networks to count their weights leaves no trace
            wanted = size()
            low, high = 1, 2 * max(self.hidden)
            while size(plain_width=high) < wanted:
                low, high = high, 2 * high
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if size(plain_width=middle) < wanted else (low, middle)
            return min((low, high), key=lambda width: abs(size(plain_width=width) - wanted))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen, _ = self._encode(batch)
        features, _ = self._pass(self.mixture, seen, batch)
        return {Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, seen, batch[Columns.OBS])}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seen, of_tokens = self._encode(batch)
        features, routing = self._pass(self.mixture, seen, batch)
        outputs: dict[str, Any] = {
            Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, seen, batch[Columns.OBS]),
            Columns.EMBEDDINGS: features,
        }
        return outputs | told(routing, of_tokens)

    @property
    def routers(self) -> dict[str, nn.Module]:
        """Those that there are, by where their branches sit."""
        of_trunk = self._routed_trunk().router
        of_tokens = self.on_tokens.router if self.on_tokens is not None else None
        found = {TRUNK: of_trunk, TOKENS: of_tokens}
        return {name: router for name, router in found.items() if router is not None}

    def _routed_trunk(self) -> Mixture:
        """The trunk that has the branches, if any has."""
        return self.mixture

    def gather_statistics(self, observation: Any) -> None:
        """Take observations that are learned from into the statistics that inputs are normalised by."""
        self.reader.gather_statistics(observation)

    def _encode(self, batch: dict[str, Any]) -> tuple[Seen, Routing | None]:
        """What is read of the observations, and how their tokens were routed."""
        self.look_at(batch[Columns.OBS])
        read = self.reader(batch[Columns.OBS])
        if self.on_tokens is None:
            return self.encoder(read), None
        assert isinstance(self.encoder, EntityEncoder)
        tokens, routing = self.on_tokens(self.encoder.tokens(read), self._open_branches(batch[Columns.OBS]))
        return self.encoder.pooled(tokens, read.vector), routing

    def _pass(self, trunk: Mixture, seen: Seen, batch: dict[str, Any]) -> tuple[Tensor, Routing | None]:
        """What the heads on a trunk see, and how the trunk was routed."""
        is_open = self._open_branches(batch[Columns.OBS]) if trunk.router is not None else None
        mixed, routing = trunk(seen.vector, is_open)
        return torch.cat([mixed, seen.vector], dim=-1), routing

    def _open_branches(self, observation: Any) -> Tensor | None:
        """Which branches each row may use: (batch, branches); branch b is of modality b modulo their number."""
        if not self.mixture_config.modality_sets:
            return None
        assert self.layout is not None, "modality_sets needs a layout"
        modalities = self.layout["modalities"]
        seen = observation["observation"]
        held = torch.stack([seen[..., columns].sum(dim=-1) > 0 for columns in modalities], dim=-1)
        owner = [b % len(modalities) for b in range(self.mixture_config.branches)]
        return held[..., owner]

    def _distribution_inputs(self, features: Tensor, seen: Seen, observation: Any) -> Tensor:
        return self._masked(self.policy(features, seen.tokens), observation)

    def _masked(self, outputs: Tensor, observation: Any) -> Tensor:
        mask = observation["action_mask"] if self.has_mask else None
        if not self.is_box:
            return outputs if mask is None else mask_logits(outputs, mask)
        mean, log_std = outputs.chunk(2, dim=-1)
        mask = torch.ones_like(mean) if mask is None else mask.to(mean.dtype)
        return torch.cat([mean, log_std.clamp(*LOG_STD_RANGE), mask], dim=-1)


class MixtureActorCritic(MixtureActor, ValueFunctionAPI):  # type: ignore[misc]
    """Mixture of branches, with a policy head and a value head on top; settings as `MixtureActor`."""

    value_scale: Tensor

    def setup(self) -> None:
        """Build the network for the module's spaces."""
        super().setup()
        self.value_trunk: Mixture | None = None if self._shares_trunk() else self._trunk("value")
        self.value: nn.Linear = nn.Linear(self._features_of(self.value_trunk or self.mixture), 1)
        self.register_buffer("value_scale", torch.ones(()))
        nn.init.orthogonal_(self.value.weight, 1.0)
        nn.init.zeros_(self.value.bias)

    def _shares_trunk(self) -> bool:
        """Whether policy and value have one trunk; entity networks share what reads the market, and no more."""
        return self.mixture_config.placement == "trunk" and not self.is_entities

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if self.value_trunk is None:
            return super()._forward_train(batch, **kwargs)
        seen, of_tokens = self._encode(batch)
        features, routing = self._pass(self.mixture, seen, batch)
        value_features, value_routing = self._pass(self.value_trunk, seen, batch)
        return {
            Columns.ACTION_DIST_INPUTS: self._distribution_inputs(features, seen, batch[Columns.OBS]),
            Columns.EMBEDDINGS: value_features,
            **told(routing or value_routing, of_tokens),
        }

    def _routed_trunk(self) -> Mixture:
        return self.value_trunk or self.mixture if self.mixture_config.placement == "value" else self.mixture

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Value of each observation, in the units of the reward: (batch,)."""
        if embeddings is None:
            embeddings = self._pass(self.value_trunk or self.mixture, self._encode(batch)[0], batch)[0]
        return self.value_scale * self.value(embeddings).squeeze(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def look_over(self, columns: Mapping[str, Any]) -> None:
        """Take the statistics of a batch, of its value targets too, so that the network's own numbers stay near one."""
        super().look_over(columns)
        deviation = columns[Postprocessing.VALUE_TARGETS].std().clamp(min=1e-3)
        kept = SLOWLY if self.value_scale != 1.0 else 0.0
        self.value_scale.copy_(kept * self.value_scale + (1.0 - kept) * deviation)


def told(of_trunk: Routing | None, of_tokens: Routing | None) -> dict[str, dict[str, Routing]]:
    """What a training pass says of its routing: nothing where nothing was routed."""
    found = {TRUNK: of_trunk, TOKENS: of_tokens}
    routed = {name: routing for name, routing in found.items() if routing is not None}
    return {ROUTING: routed} if routed else {}


def parameter_count(module: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def active_count(module: nn.Module) -> int:
    """Number of trainable weights that one decision uses: of a mixture, those of `top_k` branches."""
    idle = 0
    for part in module.modules():
        if isinstance(part, Mixture) and part.router is not None:
            share = 1.0 - part.router.top_k / part.router.branches
            idle += round(share * parameter_count(part.branches))
    return parameter_count(module) - idle
