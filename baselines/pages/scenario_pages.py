"""The page of a scenario: what one must know to play it, made from the tables that the code itself uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_experts.envs import World, heldout_ids, shipped_ids
from edge_experts.envs.heldout import changes_of, shifts
from edge_experts.envs.sim.spec import ROLES, describe
from edge_experts.envs.sim.state import PROVIDER_TERMS, USER_TERMS

from ..markdown import table

REWARDS = {
    "user": "value x quality if in time (`earned`), less `payment`, `energy` and `latency`",
    "provider": "payments (`revenue`), less `electricity`, `loading_cost` and `late_cost`",
}
TERMS: dict[str, tuple[str, ...]] = {"user": USER_TERMS, "provider": PROVIDER_TERMS}
HISTORY = {"v1": "every part of a request is a task of its own; tastes; a gate as good as a second judge"}


def page(world: World, scenario_text: bool = True) -> str:
    """The page of a scenario as Markdown.

    Args:
        world: A world of it.
        scenario_text: Whether to print all fields as YAML at the end.
    """
    s = world.scenario
    lines = [f"# {s.id}", "", s.title, "", s.about.strip(), ""]
    lines += [f"**Source:** {s.source}", ""] if s.source else []
    lines += ["**Agents:** " + _agents(world), ""]
    for role in ROLES:
        if s.acts(role):
            lines += [f"## {role}", "", describe(role, world.sizes), ""]
            lines += [f"Reward: {REWARDS[role]}, credits (0.001 US dollar)" + _team(s.rewards.team) + ".", ""]
    ends = f"truncated after {s.episode.slots} slots of {s.episode.slot_s:g} s"
    if s.episode.requests_per_user:
        ends += f"; a user is terminated after {s.episode.requests_per_user} request(s)"
    if s.devices.churn:
        ends += f"; users leave with probability {s.devices.churn:g} a slot, and others come"
    lines += [f"**Episode end:** {ends}.", ""]
    lines += ["**Info:** the reward terms by name, `invalid`; of users also `placed`, `refused`, `ended`, `quality`,"]
    lines += ["`latency_s`, `hallucination`; of providers `served` and `late`.", ""]
    lines += _twins(s.id)
    version = s.id.rpartition("-")[2]
    history = HISTORY[version] if s.id in shipped_ids() else "yours"
    lines += [f"**Version history:** {version}: {history}.", "", f"Scenario hash `{s.hash()}`."]
    if scenario_text:
        lines += ["", "## scenario", "", f"```yaml\n{s.to_yaml()}```"]
    return "\n".join(lines)


def _agents(world: World) -> str:
    s, sizes = world.scenario, world.sizes
    counts = {"user": sizes.U - s.devices.scripted, "provider": sizes.P}
    named = [f"{counts[role]} {role}{'s' if counts[role] > 1 else ''}" for role in ROLES if s.acts(role)]
    return ", ".join(named) + (f"; {s.devices.scripted} users are scripted" if s.devices.scripted else "")


def _team(team: float) -> str:
    return f", mixed with {team:.0%} of the mean reward of all" if team else ""


def _twins(name: str) -> list[str]:
    if not (twins := heldout_ids(name)):
        return []
    rows = []
    bare = name.split("/")[1].rpartition("-")[0]
    for shift, rules in shifts().items():
        changes = ", ".join(f"`{field}: {value}`" for field, value in changes_of(bare, shift).items())
        found = [twin for twin in twins if f"-heldout-{shift}-" in twin]
        rows += [[f"`{found[0]}`", f"{rules['title']} ({changes})"]] if found else []
    return [table(["held-out twin", "what is different"], rows), ""]


def environment_page(world: World, references: Mapping[str, Any]) -> str:
    """The page of a shipped environment: the same, with a picture of an episode and what was measured.

    Args:
        world: A world of it.
        references: Floor, reference and heuristics of every scenario, by its hash.
    """
    bare = world.scenario.id.split("/")[1]
    entry = references[world.scenario.hash()]
    head, source, rest = page(world, scenario_text=False).partition("\n**Source:**")
    picture = f"\n![A slot of {bare}, played by coordinated](../images/{bare}.png)\n"
    scores = ", ".join(f"{policy} {score:.2f}" for policy, score in entry["normalised"].items())
    measured = f"**Measured** over {entry['episodes']} episodes, random at 0 and the reference at 1: {scores}."
    made = f"*`edge-experts describe {world.scenario.id}` prints this page, with every field of the scenario.*"
    return f"{head}{picture}{source}{rest}\n\n{measured}\n\n{made}\n"
