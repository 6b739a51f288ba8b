"""The settings of a mixture, each written once: for the algorithm's configuration, the network and the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

ROUTERS = ("topk", "dense", "laplace", "hyper", "switch", "soft")
PLACEMENTS = ("trunk", "policy", "value", "tokens", "both")
ON_TOKENS = ("tokens", "both")
CONTROLS = ("none", "weights", "work")
BALANCES = ("loss", "bias", "none")


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """How a network is made of branches.

    Raises:
        ValueError: naming the setting, its value and the fix.
    """

    branches: int = 1
    """Number of branches; 1 is a plain network."""
    router: str = "topk"
    """Kind of router: `topk`, `dense`, `laplace`, `hyper`, `switch` (see `routers`) or `soft` (see `tokens`)."""
    top_k: int = 2
    """How many branches an input uses; `dense` and `soft` use all, `switch` one."""
    slots: int = 1
    """Of each branch, in the router `soft`: what it works on, weighted means of all tokens."""
    router_noise: float = 0.0
    """Standard deviation of the noise on the router's scores while learning, in units that the router learns."""
    capacity: float = 0.0
    """Rows that a branch takes of a minibatch, in multiples of an even load; the rows of the lowest weight beyond it do
    without that branch. 0: no limit."""
    placement: str = "trunk"
    """Where the branches sit: `trunk` (those of policy and value; a flat network has one for both), in the trunk of the
    `policy` or of the `value` alone, on every one of the `tokens` of an entity network before they are pooled, or on
    `both`, tokens and trunk; what has no branches is a plain network."""
    modality_sets: bool = False
    """Whether every modality has a set of branches of its own. An input may use the sets of the modalities that it
    holds, and any set if it holds none. Source: Han et al., "FuseMoE", NeurIPS 2024."""
    control: str = "none"
    """Which control to build instead: one plain network in place of the mixture, with as many `weights` as it has, or
    with as many as it uses for a decision (`work`: the router's, those of `top_k` branches and all others). `none`:
    the mixture itself."""

    def __post_init__(self) -> None:
        if not isinstance(self.branches, int) or self.branches < 1:
            raise ValueError(f"branches: {self.branches!r} must be 1 or more")
        for name in ("top_k", "slots"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"{name}: {value!r} must be 1 or more")
        for name, known in (("router", ROUTERS), ("placement", PLACEMENTS), ("control", CONTROLS)):
            check_choice(name, getattr(self, name), known)
        for name in ("router_noise", "capacity"):
            check_not_negative(name, getattr(self, name))
        if self.router == "soft" and self.placement != "tokens":
            raise ValueError(
                f"placement: {self.placement!r} has one vector a row, and router 'soft' mixes tokens: take 'tokens'"
            )

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> MixtureConfig:
        """The settings of a mixture among others, as those of a network."""
        return cls(**{name: settings[name] for name in names_of(cls) if name in settings})

    def as_settings(self) -> dict[str, Any]:
        """The inverse of `read`."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class BalanceConfig:
    """How the load of the branches is balanced while learning.

    Raises:
        ValueError: naming the setting, its value and the fix.
    """

    balance: str = "loss"
    """By a `loss`, by a `bias` on the choice, or not (`none`)."""
    balance_coeff: float = 0.01
    """Weight of the load-balancing loss."""
    balance_rate: float = 0.001
    """Step of the balancing bias, a minibatch."""
    z_coeff: float = 0.0
    """Weight of the router's z-loss."""

    def __post_init__(self) -> None:
        check_choice("balance", self.balance, BALANCES)
        for name in ("balance_coeff", "balance_rate", "z_coeff"):
            check_not_negative(name, getattr(self, name))


def names_of(kind: type[MixtureConfig] | type[BalanceConfig]) -> tuple[str, ...]:
    """Names of the settings of a kind, in order."""
    return tuple(field.name for field in fields(kind))


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise `ValueError` unless a value is one of those known."""
    if value not in known:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(known)}")


def check_not_negative(name: str, value: Any) -> None:
    """Raise `ValueError` unless a value is a number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{name}: {value!r} must not be negative")
