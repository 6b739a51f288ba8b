"""A recording from its plan to its files."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .calls.budget import Budget
from .calls.caller import Caller
from .calls.store import Store
from .estimate import estimate
from .export import Recording, export
from .flow import record
from .judges.anchors import Place, read_anchors
from .judges.coherence import fit_coherence
from .judges.report import judge_report
from .plan import Plan, PlanError, load_plan
from .prompts import Prompts, check_split, read_prompts
from .records import Record


@dataclass(frozen=True)
class Outcome:
    """What a recording left.

    Attributes:
        files: The files that were written.
        spent: Calls, tokens and dollars by role and model.
        flags: What is wrong with the judges, in words.
    """

    files: list[Path]
    spent: list[dict[str, Any]]
    flags: list[str]


def load(path: Path) -> tuple[Plan, Prompts, dict[Place, float]]:
    """A plan, its prompts and people's scores, checked.

    Raises:
        PlanError: naming the field, the value and the fix.
    """
    plan = load_plan(path)
    if plan.format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise PlanError("format: parquet needs pyarrow: pip install 'edge-experts[parquet]'")
    file = Path(plan.prompts)
    prompts = read_prompts(file)
    if plan.parts > 1:
        check_split(file, prompts.rows)
    return plan, prompts, read_anchors(plan, [row.id for row in prompts.rows])


def record_table(
    path: str | Path,
    folder: str | Path,
    *,
    resume: bool = False,
    budget_usd: float | None = None,
    offline: bool = False,
    keep_text: bool = False,
    progress: bool = False,
) -> Outcome:
    """Record a table as a plan says: `edge-experts record`.

    Args:
        path: The plan, a YAML file.
        folder: Where the calls are kept and the files are written.
        resume: Go on with the calls that the folder holds.
        budget_usd: No call is made that could exceed so many dollars, with those spent before.
        offline: Ask a small model on this machine in place of the plan's; the table is then marked *smoke*.
        keep_text: Also write prompts and answers to `texts.jsonl`.
        progress: Show calls, dollars and the remaining time.

    Raises:
        PlanError: for a plan, prompts, keys or a folder that are not valid, before anything is asked; when the budget
            is reached; and when an endpoint cannot be used.
    """
    plan, prompts, anchors = load(Path(path))
    digest = plan.digest(prompts.sha256)
    target = Path(folder)
    with contextlib.ExitStack() as stack:
        if offline:
            from .calls.offline import small_model

            plan = stack.enter_context(small_model(plan))
        keys = plan.keys()
        store = Store(target, digest, offline, resume)
        stack.callback(store.close)
        done = stack.enter_context(_bar(plan, prompts, store, progress))
        caller = Caller(plan, keys, store, Budget(budget_usd, store.usd()), done)
        records, judges = asyncio.run(_record(plan, prompts, anchors, caller))
        recording = Recording(plan, records, judges, fit_coherence(records, plan.seed), store.spent(), offline)
        files = export(recording, target, keep_text)
        return Outcome(files, store.spent(), list(recording.judges["flags"]))


async def _record(
    plan: Plan, prompts: Prompts, anchors: dict[Place, float], caller: Caller
) -> tuple[list[Record], dict[str, Any]]:
    """What is recorded, and the judges' report."""
    try:
        records = await record(plan, prompts.rows, caller)
        return records, await judge_report(plan, records, caller, anchors)
    finally:
        await caller.close()


@contextlib.contextmanager
def _bar(plan: Plan, prompts: Prompts, store: Store, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar of calls, dollars and the remaining time; gives what is to be called at each call."""
    from tqdm import tqdm

    total = sum(line.calls for line in estimate(plan, prompts))
    with tqdm(total=total, unit="call", disable=None if shown else True) as bar:

        def done() -> None:
            bar.total = max(bar.total or 0, bar.n + 1)
            bar.update()
            if not bar.disable:
                bar.set_postfix_str(f"${store.usd():.2f}", refresh=False)

        yield done
