"""Which policy plays which agent."""

from __future__ import annotations

from typing import Any

SCHEMES = {
    "shared": "one policy for all agents (their spaces must be the same)",
    "per_role": "one policy for each role: the agents' names up to the last underscore",
    "independent": "one policy for each agent",
}


DEFAULT_SCHEME = "per_role"


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
