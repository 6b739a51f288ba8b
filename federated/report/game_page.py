"""What the page of `federated-v0` shows: fields, actions and settings from the code, scores from the results."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from edge_experts.envs import load_scenario

from ..game.settings import GameSettings
from ..game.spec import FIELDS, PARTS, ROLES, entries, sizes

FLOOR, REFERENCE = "random", "planned"


def spaces_block() -> str:
    """What agents of each role see and do, with the default settings."""
    settings = GameSettings()
    of = sizes(settings, 10, len(load_scenario(settings.radio.scenario).devices.power_levels_w))
    parts = []
    for role in ROLES:
        seen = [
            f"| {f.name} | {entries(f, of)} | {f.low:g} to {f.high:g} | {f.unit} | {f.meaning} |" for f in FIELDS[role]
        ]
        played = [f"| {p.name} | {of[p.size]} | {p.meaning} |" for p in PARTS[role]]
        parts += [
            f"### {role}",
            "\n".join(["| field | entries | range | 1 stands for | meaning |", "|---|---|---|---|---|", *seen]),
            "\n".join(["| action part | choices | meaning |", "|---|---|---|", *played]),
        ]
    return "\n\n".join(parts)


def settings_block() -> str:
    """Every field that `overrides` takes, with its default."""
    rows = [f"| `{name}` | {_shown(default)} | {meaning} |" for name, default, meaning in _settings(GameSettings())]
    return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows])


def scores_block(results: list[dict[str, Any]]) -> str:
    """What baselines reach: `edge-experts evaluate ... --json results/federated/federated-v0.json`."""
    means = {result["policy"]: result["return"]["mean"] for result in results}
    lines = ["| policy | return of all | score | of the provider | of a client | rounds |", "|---|---|---|---|---|---|"]
    for result in results:
        mean, low, high = (result["return"][name] for name in ("mean", "low", "high"))
        score = (mean - means[FLOOR]) / (means[REFERENCE] - means[FLOOR])
        by_agent = result["by_agent"]
        clients = [value for agent, value in by_agent.items() if agent.startswith("client")]
        cells = [f"{mean:.1f} [{low:.1f}, {high:.1f}]", f"{score:.2f}", f"{by_agent['provider_0']:.1f}"]
        cells += [f"{sum(clients) / len(clients):.2f}", f"{result['steps']:.1f}"]
        lines.append(f"| {result['policy']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _settings(value: Any, prefix: str = "") -> list[tuple[str, Any, str]]:
    kind, found = type(value), []
    hints, said = get_type_hints(kind), _meanings(kind)
    for item in fields(kind):
        inner = getattr(value, item.name)
        if is_dataclass(hints[item.name]):
            found += _settings(inner, f"{prefix}{item.name}.")
        else:
            found.append((prefix + item.name, inner, said[item.name]))
    return found


def _meanings(kind: type) -> dict[str, str]:
    """The line of documentation under each field of a dataclass."""
    [body] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{one:g}" for one in value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
