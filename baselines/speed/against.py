"""Two versions of this package, measured in turns: what a release costs or wins shows in ratios, not in old tables."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..markdown import table

ENV = "edge_experts/text-v1"
CASES = {"World, 1 world": 1, "World, 1,024 worlds": 1024, "World, 8,192 worlds": 8192, "PettingZoo parallel": 0}
"""Worlds by the name of a case; none: the view of one."""


class AgainstError(ValueError):
    """The other version cannot be measured. Names it and the reason."""


@dataclass(frozen=True)
class Ratio:
    """What was measured of a case.

    Attributes:
        case: One of `CASES`.
        mine: Agent steps a CPU-second of this version, median over the rounds.
        theirs: Of the other one.
        ratio: Median of mine over theirs, round by round.
        low: The least of them.
        high: The greatest.
    """

    case: str
    mine: float
    theirs: float
    ratio: float
    low: float
    high: float


@contextmanager
def built(other: str) -> Iterator[Path]:
    """A folder with another version of this package, gone afterwards.

    Args:
        other: A wheel, or a revision of the git repository that one is in.

    Raises:
        AgainstError: if it cannot be found or built.
    """
    with tempfile.TemporaryDirectory(prefix="edge-experts-") as folder:
        source, site = Path(folder) / "source", Path(folder) / "site"
        if other.endswith(".whl"):
            if not Path(other).is_file():
                raise AgainstError(f"--against: there is no wheel '{other}'")
            what: Path = Path(other).resolve()
        else:
            what = _checked_out(other, source)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        done = subprocess.run([*command, "--target", str(site), str(what)], capture_output=True, text=True)
        if done.returncode or not (site / "edge_experts").is_dir():
            lines = done.stderr.strip().splitlines() or ["it holds no edge_experts"]
            raise AgainstError(f"--against: '{other}' cannot be built: {lines[-1]}")
        yield site


def _checked_out(revision: str, folder: Path) -> Path:
    """The files of a revision of the repository here."""
    try:
        top = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
        command = ["git", "-C", top.stdout.strip(), "archive", "--format=tar", revision]
        packed = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise AgainstError(f"--against: '{revision}' is no wheel, and there is no git to look it up with") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        raise AgainstError(
            f"--against: '{revision}' is neither a wheel nor a revision of the repository here: {said.strip()}"
        ) from None
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def here() -> Path:
    """The folder that this version is imported from."""
    spec = importlib.util.find_spec("edge_experts")
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))).parent


def version_of(site: Path) -> str:
    """The version that lies in a folder; of what is no installation, this package's."""
    found = [d.version for d in importlib.metadata.distributions(path=[str(site)]) if d.name == "edge-experts"]
    return found[0] if found else importlib.metadata.version("edge-experts")


def compare(
    theirs: Path, rounds: int, seconds: float, env: str = ENV, cases: Sequence[str] = tuple(CASES)
) -> list[Ratio]:
    """Measure all cases of both versions in turns, each in a process with one thread.

    Args:
        theirs: Folder of the other version.
        rounds: How often.
        seconds: Processor time of each measurement.
        env: Scenario; a version that lacks it plays the newest one of the same name.
        cases: Of `CASES`.

    Raises:
        AgainstError: if a version has no such scenario, or cannot play it.
    """
    found = []
    with tqdm(total=len(cases) * rounds, desc="measuring", disable=None) as bar:
        for case in cases:
            bar.set_postfix_str(case)
            with ExitStack() as stack:
                probes = [stack.enter_context(_probe(place, env, CASES[case], seconds)) for place in (here(), theirs)]
                rates: list[list[float]] = [[], []]
                for turn in range(rounds):
                    for which in (0, 1) if turn % 2 == 0 else (1, 0):  # who is first alternates, too
                        rates[which].append(_ask(probes[which], "measure")["rate"])
                    bar.update()
            ratios = [a / b for a, b in zip(*rates, strict=True)]
            mine, other = (statistics.median(rate) for rate in rates)
            found.append(Ratio(case, mine, other, statistics.median(ratios), min(ratios), max(ratios)))
    return found


@contextmanager
def _probe(site: Path, env: str, worlds: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that measures a version, ready to."""
    script = Path(__file__).with_name("probe.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if site != here():  # its compiled code goes with it
        environment["NUMBA_CACHE_DIR"] = str(site.parent / "numba")
    command = [sys.executable, str(script), str(site), env, str(worlds), str(seconds)]
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _ask(process, None)
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], what: str | None) -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    if what is not None:
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        lines = process.stderr.read().strip().splitlines() or ["its process died"]
        raise AgainstError(f"--against: a version cannot be measured: {lines[-1]}")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise AgainstError(f"--against: a version cannot be measured: {answer['error']}")
    return answer


def ratio_table(found: Sequence[Ratio], mine: str, theirs: str) -> str:
    """One row a case: million agent steps a CPU-second of both, and their ratio with its spread."""
    rows = [
        [
            one.case,
            f"{one.mine / 1e6:.3f}",
            f"{one.theirs / 1e6:.3f}",
            f"{one.ratio:.2f}",
            f"{one.low:.2f} to {one.high:.2f}",
        ]
        for one in found
    ]
    return table(["million agent steps a CPU-second", mine, theirs, "ratio", "in the rounds"], rows, is_padded=True)
