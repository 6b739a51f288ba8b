"""What to say of a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name most like one that was given, if any is like it.

    Args:
        name: As it was given.
        known: Names that exist.
        cutoff: How alike it must be, between 0 and 1.
    """
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None, cutoff: float = 0.6) -> str:
    """A hint that ends an error message.

    Args:
        name: As it was given.
        known: Names that exist.
        otherwise: What to say when none of them is like it; by default all of them are listed.
        cutoff: As `nearest`.
    """
    known = list(known)
    near = nearest(name, known, cutoff)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"known: {', '.join(known)}" if otherwise is None else otherwise
