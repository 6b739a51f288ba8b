"""What `edge-experts speed` measured, as tables: from the files that it wrote, with version and machine beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..markdown import table
from ..speed import growth
from ..speed.against import Ratio, ratio_table
from ..speed.measure import Measurement, speed_table

PEERS = (
    ("EdgeEnv, 20 agents", "mobile-env medium, 15 users"),
    ("EdgeEnv, 8 agents", "mobile-env small, 5 users"),
    ("World, 1,024 worlds", "mobile-env medium, 15 users"),
    ("World, 1,024 worlds", "mobile-env small, 5 users"),
    ("EdgeEnv, 20 agents", "mpe2 simple_spread, 10 agents"),
    ("EdgeEnv, 8 agents", "mpe2 simple_spread, 3 agents"),
    ("EdgeEnv, 20 agents", "lbforaging 10x10-4p-4f"),
    ("EdgeEnv, 8 agents", "lbforaging 10x10-4p-4f"),
    ("EdgeEnv, 20 agents", "rware small-4ag"),
    ("World, 1,024 worlds", "vmas simple_spread, 1,024 worlds"),
)
BATCHED, BARE, STOCK = "MoE-PPO, batched runner", "MoE-PPO, bare loop", "MoE-PPO, stock runner"
ENTITIES, FLAT = "PPO, entity networks", "PPO, flat networks"
PICTURE = Path("images") / "speed.png"
GROWTH = Path("images") / "growth.png"


def engine_block(folder: Path) -> str:
    """Worlds, views and peers, from `engine.json`; nothing if that was not measured."""
    if (data := _read(folder / "engine.json")) is None:
        return ""
    rows = _rows(data)
    parts = [_where(data), speed_table(rows)]
    if (folder.parent / PICTURE).exists():
        parts.append(f"![CPU time of a step against the number of worlds, agents and experts]({PICTURE.as_posix()})")
    found = {row.name: row.cpu_agent_steps for row in rows if not row.error}
    ratios = [[ours, peer, f"{found[ours] / found[peer]:,.1f}"] for ours, peer in PEERS if {ours, peer} <= set(found)]
    if ratios:
        parts.append(table(["ours", "peer", "agent steps per CPU-second, ours over the peer's"], ratios))
    return "\n\n".join(parts)


def training_block(folder: Path) -> str:
    """Whole training iterations, from `training.json` and `grid.json`; nothing if they were not measured."""
    if (data := _read(folder / "training.json")) is None:
        return ""
    rows = _rows(data)
    parts = [_where(data), speed_table(rows)]
    found = {row.name: row.wall_agent_steps for row in rows if not row.error}
    stock = max((rate for name, rate in found.items() if name.startswith(STOCK)), default=0.0)
    if stock and {BATCHED, BARE} <= set(found):
        parts.append(
            f"The batched runner makes {found[BATCHED]:,.0f} agent steps a second: {found[BATCHED] / stock:.1f} times "
            f"as many as RLlib's stock runner at its best setting, {found[BATCHED] / found[BARE]:.0%} of the bare loop."
        )
    per_cpu = {row.name: row.cpu_agent_steps for row in rows if not row.error}
    if {ENTITIES, FLAT} <= set(per_cpu):
        parts.append(
            f"With entity networks and credit for what each agent is worth, an iteration takes "
            f"{per_cpu[FLAT] / per_cpu[ENTITIES]:.1f} times the processor time of flat networks and plain rewards."
        )
    if (grid := _read(folder / "grid.json")) is not None:
        parts += [
            "Settings of the stock runner (its own vectorised one), in batches of 1,024 env steps to save time:",
            _where(grid),
            speed_table(_rows(grid)),
        ]
    return "\n\n".join(parts)


def growth_block(folder: Path) -> str:
    """How cost grows with every size, and what a cluster would do, from `growth.json`; nothing if it is not there."""
    if (data := _read(folder / "growth.json")) is None:
        return ""
    rows = _rows(data)
    lines = []
    for what in (*growth.SIZES, growth.PROCESSES):
        pairs = [(size, growth.cost(what, one)) for size, one in growth.sizes_of(rows, what)]
        if len(pairs) > 1:
            costs = ", ".join(f"{cost:,.1f}" for _, cost in pairs)
            sizes = ", ".join(f"{size:,}" for size, _ in pairs)
            lines.append([what, sizes, costs, f"{growth.slope(pairs):.2f}"])
    parts = [_where(data), table(["size", "values", "microseconds of a slot", "exponent"], lines)]
    if (folder.parent / GROWTH).exists():
        parts.append(f"![Cost against every size]({GROWTH.as_posix()})")
    wall = {row.name: row.wall_env_steps for row in rows if not row.error}
    if {growth.SAMPLING, growth.LEARNING} <= set(wall):
        S, L, sent = wall[growth.SAMPLING], wall[growth.LEARNING], data["exchanged"]
        rates = [
            f"{growth.cluster_rate(n, S, L, sent):,.0f} with {n} sampling process{'es' * (n > 1)}"
            for n in growth.CLUSTER
        ]
        parts.append(
            f"PPO with entity networks on text-v1: a process samples {S:,.0f} env steps a second, the learner takes "
            f"{L:,.0f}; an iteration of {sent['env_steps']:,.0f} steps sends {sent['batch_mb']:.0f} MB to the learner "
            f"and {sent['weights_mb']:.2f} MB of weights to each process. Over {growth.NETWORK_BPS / 1e9:.0f} Gbit/s "
            f"that makes, by the formula below, in env steps a second: {', '.join(rates)}."
        )
    return "\n\n".join(parts)


def against_block(folder: Path) -> str:
    """This version beside others, from all `against_*.json`."""
    parts = []
    for path in sorted(folder.glob("against_*.json")):
        data = json.loads(path.read_text("utf-8"))
        mine = f"{data['versions']['edge-experts']}, {data['commit'][:7]}"
        found = [Ratio(**one) for one in data["ratios"]]
        other = f"{data['their_version']}, {data['against']}"
        parts += [_where(data), ratio_table(found, mine, other)]
    return "\n\n".join(parts)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def _rows(data: dict[str, Any]) -> list[Measurement]:
    return [Measurement(**row) for row in data["measurements"]]


def _where(data: dict[str, Any]) -> str:
    """The version, the machine and how it was measured."""
    here, versions = data["machine"], data["versions"]
    used = ", ".join(f"{name} {versions[name]}" for name in ("python", "numba", "torch", "ray") if name in versions)
    return (
        f"Version {versions['edge-experts']} ({used}); {here['processor']}, {here['cpus']} processors, "
        f"{here['memory_gb']:g} GB; medians over {data['rounds']} round{'s' if data['rounds'] > 1 else ''}."
    )
