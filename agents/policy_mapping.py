"""Which policy plays which agent."""

from __future__ import annotations

from typing import Any

SCHEMES = {
    "shared": "one policy for all agents (their spaces must be the same)",
    "per_role": "one policy for each role: the agents' names up to the last underscore",
    "independent": "one policy for each agent",
}

DEFAULT_SCHEME = "per_role"
AT = "@"  # between a policy and the market that a module plays it in


def policy_of(module: str) -> str:
    """The policy of a module; of `user@text-v1`, `user`."""
    return module.partition(AT)[0]


class PolicyMapping:
    """Maps agents to policies by one of `SCHEMES`; can be sent to workers."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme

    def __call__(self, agent: Any, episode: Any = None, **kwargs: Any) -> str:
        """The policy of an agent."""
        if self.scheme == "shared":
            return "shared"
        return str(agent) if self.scheme == "independent" else str(agent).rpartition("_")[0] or str(agent)

    def __repr__(self) -> str:
        return f"PolicyMapping({self.scheme!r})"


class MarketMapping(PolicyMapping):
    """Maps agents of one of several markets to modules, as `user@text-v1`; can be sent to workers.

    Args:
        market: How the market is called there.
    """

    def __init__(self, market: str, scheme: str = DEFAULT_SCHEME) -> None:
        super().__init__(scheme)
        self.market = market

    def __call__(self, agent: Any, episode: Any = None, **kwargs: Any) -> str:
        """The module of an agent."""
        return f"{super().__call__(agent, episode)}{AT}{self.market}"
