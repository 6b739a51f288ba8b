"""`edge-experts validate`: find what is wrong with an environment or a scenario, and say how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tqdm import tqdm

from edge_experts.envs.registry import EnvError, Source, find

from ..evaluation.env_steps import as_parallel
from .context import EnvUnderTest, Fault
from .interface import CHECKS, FIRST

OK, WARNING, FAULT = "ok", "warning", "fault"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: Its name.
        verdict: `ok`, `warning` or `fault`.
        text: What was looked at; or what is wrong, and what to do.
    """

    check: str
    verdict: str
    text: str


def validate(name: str, seed: int = 0, progress: bool = False) -> list[Finding]:
    """Run every check on an environment.

    Args:
        name: As `edge_experts.envs.registry.find` takes it.
        seed: Of the episodes that are played.
        progress: Show a bar.

    Raises:
        EnvError: if there is no such environment, or it cannot be made.
        ScenarioError, TableError: if it is a scenario that is not valid.
    """
    source = find(name)
    checks: dict[str, Callable[[EnvUnderTest], str]] = dict(CHECKS)
    if source.market is not None:
        from .market import MARKET_CHECKS

        checks |= {name: partial(_look, check, source.market) for name, check in MARKET_CHECKS.items()}
    return run_checks(_creator(source), checks, seed, progress)


def _look(check: Callable[[Any], str], market: Any, subject: EnvUnderTest) -> str:
    return check(market)


def _creator(source: Source) -> Callable[[], Any]:
    def create() -> Any:
        env = source.make()
        try:
            return as_parallel(env)
        except ValueError as error:
            raise EnvError(str(error)) from None

    create()
    return create


def run_checks(
    create: Callable[[], Any], checks: dict[str, Callable[[EnvUnderTest], str]], seed: int = 0, progress: bool = False
) -> list[Finding]:
    """Play an environment and look at it with every check; one that cannot be played, only with the first."""
    subject = EnvUnderTest(create, seed)
    findings = []
    for name, check in tqdm(checks.items(), desc="validate", unit="check", disable=None if progress else True):
        try:
            findings.append(Finding(name, OK, check(subject)))
        except Fault as fault:
            findings.append(Finding(name, FAULT, str(fault)))
        except Warning as warning:
            findings.append(Finding(name, WARNING, str(warning)))
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            findings.append(Finding(name, FAULT, f"raises {text}"))
        if name in FIRST and findings[-1].verdict == FAULT:
            break
    return findings


def findings_table(findings: Sequence[Finding]) -> str:
    """One line a finding; faults last, with what to do."""
    width = max(len(finding.check) for finding in findings)
    order = {OK: 0, WARNING: 1, FAULT: 2}
    lines = [
        f"{finding.verdict:8s} {finding.check:{width}s}  {finding.text}"
        for finding in sorted(findings, key=lambda finding: order[finding.verdict])
    ]
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in order}
    plural = {verdict: "" if counts[verdict] == 1 else "s" for verdict in order}
    lines.append(f"\n{counts[OK]} ok, {counts[WARNING]} warning{plural[WARNING]}, {counts[FAULT]} fault{plural[FAULT]}")
    return "\n".join(lines)
