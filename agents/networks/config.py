"""What the configurations of all our algorithms share: their networks, and what they need of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import NotProvided
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from edge_experts.envs.io.import_string import LoadError

from ..mixture.observation_layout import layout_of
from ..sampling.credit import CREDITS, check_credit
from ..sampling.teacher import Phases, teacher_of
from ..sampling.turns import ORDERS

NETWORKS = ("flat", "entities")


class NetworkConfig:
    """Mixin before the configuration of an RLlib algorithm: networks that take masks, and sampling by worlds.

    Args of `training`, beside the algorithm's own:
        network: `flat`, over the whole observation, or `entities`, which reads it place by place.
        identities: Whether an entity network also has weights for every single place.
        hidden: Width of each layer; of an entity network, of a token and of the layers behind the pool.
        credit: What agents learn from: `reward`, what the environment pays them; `difference`, what each is worth to
            all (see `sampling.credit`); `auto`, the latter where the batched runner samples agents that share rewards.
        order: How users choose in a slot: `together`, or `sequential`, in the order of service (see `sampling.turns`).
        imitate: A planner whose choices are imitated first, before the run goes on as ever (see `sampling.teacher`): a
            name, as `coordinated`, or a reference to what makes one from a `World`. On-policy algorithms on our
            environments only.
        phases: When imitation, and then learning values alone, ends; `rllib train` sets it by the length of the run.
        markets: Markets that the same weights are trained on together, the environment among them; none: on that alone.

    Attributes:
        runner_class: What samples worlds for the algorithm.
        takes_markets: Whether it can be trained on several.
        can_imitate: Whether it can imitate first.
    """

    credit: str
    identities: bool
    network: str
    markets: tuple[str, ...]
    order: str
    runner_class: type
    takes_markets = can_imitate = False

    @property
    def needs_worlds(self) -> str:
        """Why only its `runner_class` can sample it, on our environments; empty where RLlib's stock runner can."""
        if self.order == "sequential":
            return "order: 'sequential' is for the batched runner on our environments: take 'together'"
        if self.imitate:
            return f"imitate: '{self.imitate}' plans in our environments, for the batched runner: leave it out"
        return "credit: 'difference' is for the batched runner: take 'auto'" if self.credit == "difference" else ""

    def _only_on_worlds(self) -> str:
        """What `needs_worlds` says of an algorithm that is sampled by worlds whatever its settings."""
        name = self.algo_class.__name__.removeprefix("Masked")  # type: ignore[attr-defined]
        return f"runner: {name} as it is here lives on the worlds of the batched runner, on our environments only"

    @property
    def brings_network(self) -> bool:
        """Whether its user has set a network."""
        return brings_network(self)

    def prepare(self, env: Any) -> None:
        """Complete what depends on the environment.

        Args:
            env: A `PettingZooEnv`, or a Gymnasium environment.

        Raises:
            ValueError: if the settings do not fit it.
        """
        self._check_game(env)
        if self.markets:
            from ..markets import describe_markets  # which knows the networks, as they know this

            describe_markets(self)
        elif self.wants_layout and not self.brings_network:
            self.describe_policies(self._layouts(env))

    def _check_game(self, env: Any) -> None:
        """See that credit and order can be had of the environment.

        Raises:
            ValueError: if not.
        """
        if self.order == "sequential":
            users = {self.policy_mapping_fn(a, None) for a in env.possible_agents if a.startswith("user_")}  # type: ignore[attr-defined]
            if len(users) > 1:
                raise ValueError("order: 'sequential' needs one policy for all users: train with --policies per_role")
        check_credit(self.credit, getattr(getattr(env, "env", None), "scenario", None))
        if self.imitate:
            if not self.can_imitate:
                name = self.algo_class.__name__.removeprefix("Masked")  # type: ignore[attr-defined]
                raise ValueError(f"imitate: {name} cannot imitate first: take PPO, MoEPPO or MAPPO")
            try:
                teacher_of(self.imitate, env.env.world)
            except (ValueError, LoadError) as error:
                raise ValueError(f"imitate: {error}") from None

    @property
    def wants_layout(self) -> bool:
        """Whether networks must be told what their observations are about."""
        return self.network == "entities"

    def _layouts(self, env: Any) -> dict[str, Any]:
        """What every policy's observations are about, see `layout_of`; `None` where nothing is known."""
        world = getattr(getattr(env, "env", None), "world", None)
        if self.network == "entities" and (world is None or not self.is_multi_agent):  # type: ignore[attr-defined]
            raise ValueError(
                "network: 'entities' reads the markets of this package, as PettingZoo environments: take 'flat'"
            )
        if not self.is_multi_agent:  # type: ignore[attr-defined]
            return {}
        layouts: dict[str, Any] = {}
        for agent in env.possible_agents:
            policy = self.policy_mapping_fn(agent, None)  # type: ignore[attr-defined]
            if policy not in layouts:
                layouts[policy] = layout_of(agent.rpartition("_")[0], world) if world is not None else None
        return layouts

    def describe_policies(self, layouts: Mapping[str, Any]) -> None:
        """Tell every policy's network what its observations are about.

        Args:
            layouts: By policy, see `observation_layout.layout_of`; `None` where nothing is known.

        Raises:
            ValueError: if the settings do not fit them.
        """
        kind = self.get_default_rl_module_spec().module_class  # type: ignore[attr-defined]
        specs = {
            policy: RLModuleSpec(
                module_class=kind, model_config={"layout": layout, **self._own_settings(policy, layout)}
            )
            for policy, layout in layouts.items()
        }
        self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))  # type: ignore[attr-defined]

    def _own_settings(self, policy: str, layout: Any) -> dict[str, Any]:
        """Settings of one policy's network alone."""
        return {}

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)  # type: ignore[call-arg]
        self.network, self.identities, self.credit = "flat", False, "reward"
        self.order, self.markets = "together", ()
        self.imitate: str | None = None
        self.phases: Phases = Phases()
        self.hidden: tuple[int, ...] = (64, 64)

    def training(
        self,
        *,
        network: Any = NotProvided,
        identities: Any = NotProvided,
        hidden: Any = NotProvided,
        credit: Any = NotProvided,
        order: Any = NotProvided,
        markets: Any = NotProvided,
        imitate: Any = NotProvided,
        **kwargs: Any,
    ) -> Any:
        """Set the network, credit, order, markets, whom to imitate, and any of the algorithm's settings."""
        super().training(**kwargs)  # type: ignore[misc]
        self._take(network=network, identities=identities, hidden=hidden)
        self._take(credit=credit, order=order, markets=markets, imitate=imitate)
        return self

    def _take(self, **settings: Any) -> None:
        """Set those settings that are given."""
        for name, value in settings.items():
            if value is not NotProvided:
                setattr(self, name, value)

    def validate(self) -> None:
        """Check the settings.

        Raises:
            ValueError: naming the setting, its value and the fix.
        """
        super().validate()  # type: ignore[misc]
        if self.network not in NETWORKS:
            raise ValueError(f"network: {self.network!r} is not one of {', '.join(NETWORKS)}")
        if self.credit not in CREDITS:
            raise ValueError(f"credit: {self.credit!r} is not one of {', '.join(CREDITS)}")
        if self.order not in ORDERS:
            raise ValueError(f"order: {self.order!r} is not one of {', '.join(ORDERS)}")
        if not self.hidden or any(not isinstance(width, int) or width < 1 for width in self.hidden):
            raise ValueError(f"hidden: {self.hidden!r} must be one or more widths, as [64, 64]")

    @property
    def _model_config_auto_includes(self) -> dict[str, Any]:
        own = {"network": self.network, "identities": self.identities, "hidden": tuple(self.hidden)}
        if self.order != "together":
            own["order"] = self.order
        return {**super()._model_config_auto_includes, **own}  # type: ignore[misc]


def brings_network(config: Any) -> bool:
    """Whether a configuration's user has set a network (`rl_module`)."""
    return config._rl_module_spec is not None or bool(config._model_config)
