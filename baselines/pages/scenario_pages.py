"""The page of a scenario: what one must know to play it, made from the tables that the code itself uses."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_experts.envs import World, heldout_ids, load_scenario, shipped_ids
from edge_experts.envs.heldout import changes_of, shifts
from edge_experts.envs.sim.spec import ROLES, describe
from edge_experts.envs.sim.state import DEVICE_TERMS, PROVIDER_TERMS

from ..markdown import table

REWARDS = {
    "device": "value x quality if in time (`earned`), less `payment`, `energy` and `latency`",
    "provider": "payments (`revenue`), less `electricity`, `loading_cost` and `late_cost`",
}
TERMS = {"device": DEVICE_TERMS, "provider": PROVIDER_TERMS}
SHOWN = ("shortest_queue", "myopic", "coordinated")  # heuristics of the table of all scenarios
HISTORY = {"v0": "first version"}


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
    if s.episode.requests_per_device:
        ends += f"; a device is terminated after {s.episode.requests_per_device} request(s)"
    if s.devices.churn:
        ends += f"; devices leave with probability {s.devices.churn:g} a slot, and others come"
    lines += [f"**Episode end:** {ends}.", ""]
    lines += ["**Info:** the reward terms by name, `invalid`; of devices also `placed`, `refused`, `ended`, `quality`,"]
    lines += ["`latency_s`, `hallucination`; of providers `served` and `late`.", ""]
    lines += _twins(s.id)
    version = s.id.rpartition("-")[2]
    lines += [f"**Version history:** {version}: {HISTORY.get(version, 'yours')}.", "", f"Scenario hash `{s.hash()}`."]
    if scenario_text:
        lines += ["", "## scenario", "", f"```yaml\n{s.to_yaml()}```"]
    return "\n".join(lines)


def _agents(world: World) -> str:
    s, sizes = world.scenario, world.sizes
    counts = {"device": sizes.U - s.devices.scripted, "provider": sizes.P}
    named = [f"{counts[role]} {role}{'s' if counts[role] > 1 else ''}" for role in ROLES if s.acts(role)]
    return ", ".join(named) + (f"; {s.devices.scripted} devices are scripted" if s.devices.scripted else "")


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


def learnability_table(references: Mapping[str, Any]) -> str:
    """What heuristics reach in every shipped scenario, from the stored references, as Markdown."""
    head = ["scenario", "best fixed choice", *SHOWN, "score at 0 and at 1, credits an episode"]
    rows = []
    for name in shipped_ids():
        entry = references[load_scenario(name).hash()]
        scores = entry["normalised"]
        fixed = next(policy for policy in scores if policy.startswith("fixed:"))
        shown = [f"{scores[policy]:.2f}" for policy in SHOWN]
        chosen = fixed.removeprefix("fixed:").replace(",", ", ")
        bounds = f"{entry['random']:,.1f} and {entry['clairvoyant']:,.1f}"
        rows.append([name.split("/")[1], f"{scores[fixed]:.2f} ({chosen})", *shown, bounds])
    return table(head, rows)


def all_pages(references: Mapping[str, Any]) -> str:
    """The pages of all shipped scenarios, one after another, each with its picture and what heuristics reach."""
    parts = [
        "Made by `python -m edge_experts.baselines.pages.scenario_pages`. Each page is what `edge-experts describe ID` prints, "
        "with a picture of an episode and what was measured.\n"
    ]
    for name in shipped_ids():
        world, bare = World(name), name.split("/")[1]
        entry = references[world.scenario.hash()]
        picture = f"![A slot of {bare}, played by coordinated](../../results/images/{bare}.png)"
        measured = ", ".join(f"{policy} {score:.2f}" for policy, score in entry["normalised"].items())
        text = f"**Measured** over {entry['episodes']} episodes, random at 0 and the bound at 1: {measured}."
        head, _, rest = page(world, scenario_text=False).partition("\n**Source:**")
        parts.append(
            f"{head}{picture}\n\n**Source:**{rest}\n\n{text}\n".replace("\n## ", "\n### ").replace(
                "# edge", "## edge", 1
            )
        )
    return "# The scenarios\n\n" + "\n".join(parts)


def main() -> None:
    """Write the pages of all scenarios and the picture of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", default=Path(), help="folder with configs/ and results/")
    root = parser.parse_args().root
    references = json.loads((root / "results" / "references.json").read_text("utf-8"))
    from PIL import Image

    from edge_experts.envs.io.files import write_text
    from edge_experts.envs.recording.render import draw

    from ..heuristics.policies import make_policy

    for name in shipped_ids():
        world = World(name, seed=3)
        policy = make_policy("coordinated", world)
        world.reset()
        for _ in range(min(PICTURE_SLOT, world.scenario.episode.slots - 1)):
            world.step(*policy.act(world))
        Image.fromarray(draw(world)).save(root / "results" / "images" / f"{name.split('/')[1]}.png")
    write_text(root / "configs" / "scenarios" / "README.md", all_pages(references))


PICTURE_SLOT = 32

if __name__ == "__main__":
    main()
