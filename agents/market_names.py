"""How several markets are named together, without a word of how they are trained on."""

from __future__ import annotations

from edge_experts.envs import load_scenario, shipped_ids
from edge_experts.envs.registry import is_market

from .errors import SetupError

ALL = "all"
LEFT_OUT = "all-"  # before the one market that is left out
THEN = ">"  # between markets that follow one another


def markets_of(env: str) -> tuple[str, ...]:
    """The markets that `--env` names; else none.

    That is several ids or scenario files with commas between, `all`, or all but one, as `all-text-v1`.

    Raises:
        SetupError: if one of several is no market, or is named twice, or what is left out is none of all.
    """
    is_several = "," in env
    is_all = env == ALL or (env.startswith(LEFT_OUT) and not is_several and not is_market(env))
    if not is_all and not is_several:
        return ()
    names = [name.strip() for name in env.split(",")]
    if is_all:
        left_out = env.removeprefix(ALL).removeprefix("-")
        names = [name for name in shipped_ids() if title_of(name) != left_out]
        if left_out and len(names) == len(shipped_ids()):
            raise SetupError(
                f"env: '{env}' leaves out '{left_out}', which is none of {', '.join(map(title_of, shipped_ids()))}"
            )
    for name in names:
        if not is_market(name):
            raise SetupError(f"env: '{name}' of '{env}' is none of our markets: only those can be trained on together")
    titles = [title_of(name) for name in names]
    for title in titles:
        if titles.count(title) > 1:
            raise SetupError(f"env: '{env}' names {title} twice: leave one out, or give it another id")
    return tuple(names)


def stages_of(env: str) -> tuple[str, ...]:
    """The markets of `A>B`, to be trained on one after another; none where there is but one.

    Raises:
        SetupError: if one of several is no market.
    """
    names = tuple(name.strip() for name in env.split(THEN))
    if len(names) == 1:
        return ()
    for name in names:
        if not is_market(name):
            raise SetupError(f"env: '{name}' of '{env}' is none of our markets: only those can follow one another")
    return names


def title_of(market: str) -> str:
    """A market in the names of modules and results: its id without the namespace."""
    return str(load_scenario(market).id).rpartition("/")[2]
