"""A hard stop: no call is made that could exceed the budget, whatever it turns out to cost."""

from __future__ import annotations

import asyncio
import json

from ..plan import Endpoint, PlanError
from .store import Call


class OverBudgetError(PlanError):
    """The next call could exceed the budget."""


class Budget:
    """Dollars that may be spent.

    Args:
        usd: In all, with what was spent before; None: no limit.
        spent: Before.
    """

    usd: float | None
    spent: float

    def __init__(self, usd: float | None, spent: float) -> None:
        self.usd, self.spent = usd, spent
        self._at_risk: dict[str, float] = {}
        self._changed = asyncio.Condition()

    async def reserve(self, key: str, usd: float) -> None:
        """Set aside the most that a call may cost, as soon as calls in flight leave room for it.

        Raises:
            OverBudgetError: if nothing is in flight any more and there is still no room.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(usd) or not self._at_risk)
            if not self._fits(usd):
                raise OverBudgetError(
                    f"--budget-usd: {self.usd:g} stops here: {self.spent:.4f} is spent and the next call may cost "
                    f"{usd:.4f}; all answers are kept: go on with --resume and a larger budget"
                )
            self._at_risk[key] = usd

    async def settle(self, key: str, usd: float) -> None:
        """Replace what was set aside by what a call did cost."""
        async with self._changed:
            del self._at_risk[key]
            self.spent += usd
            self._changed.notify_all()

    def _fits(self, usd: float) -> bool:
        return self.usd is None or self.spent + sum(self._at_risk.values()) + usd <= self.usd


def most_tokens(call: Call) -> tuple[int, int]:
    """The most tokens that a call can read and write: a token is at least a byte."""
    read = len(json.dumps(list(call.messages), ensure_ascii=False).encode()) + 16 * len(call.messages)
    given = call.parameters
    return read, int(given["max_completion_tokens"] if "max_completion_tokens" in given else given["max_tokens"])


def price(endpoint: Endpoint, tokens_in: float, tokens_out: float) -> float:
    """Dollars of so many tokens."""
    return (tokens_in * endpoint.usd_in + tokens_out * endpoint.usd_out) / 1e6
