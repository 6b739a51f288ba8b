"""Tables over all environments: what there is, what heuristics reach, which policies and twins there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edge_experts.envs import load_scenario, shipped_ids
from edge_experts.envs.heldout import shifts

from ..heuristics.policies import OWN, POLICIES
from ..markdown import table

SHOWN = ("shortest_queue", "myopic", "priced", "single", "coordinated")  # heuristics of the table of all scenarios
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")


def environments_table(folder: str) -> str:
    """What environments there are, each with a link to its page in a folder, and the paper that it comes from."""
    rows = []
    for name in shipped_ids():
        scenario = load_scenario(name)
        bare = name.split("/")[1]
        papers = [f"[{number}](https://arxiv.org/abs/{number})" for number in ARXIV.findall(scenario.source)]
        rows.append([f"[`{name}`]({folder}{bare}.md)", scenario.title, papers[0] if papers else "-"])
    return table(["id", "what it is", "arXiv"], rows)


def heuristics_table(references: Mapping[str, Any]) -> str:
    """What heuristics reach in every shipped scenario, from the stored references."""
    head = ["scenario", "best fixed choice", *SHOWN, "score at 0 and at 1, credits an episode"]
    rows = []
    for name in shipped_ids():
        entry = references[load_scenario(name).hash()]
        scores = entry["normalised"]
        fixed = next(policy for policy in scores if policy.startswith("fixed:"))
        shown = [f"{scores[policy]:.2f}" for policy in SHOWN]
        chosen = fixed.removeprefix("fixed:").replace(",", ", ")
        bounds = f"{entry['random']:,.1f} and {entry['reference']:,.1f}"
        rows.append([name.split("/")[1], f"{scores[fixed]:.2f} ({chosen})", *shown, bounds])
    return table(head, rows)


def policies_table() -> str:
    """The policies that need no training, by the name that every command takes."""
    rows = [[f"`{name}`", text, knows] for name, (_, text, knows) in POLICIES.items()]
    fixed = "always the same expert, or the first legal one of `fixed:A,B`; `fixed:local` is the user's own"
    return table(["policy", "what it does", "what it knows"], [*rows, ["`fixed:EXPERT`", fixed, OWN]])


def twins_table() -> str:
    """The shifts of held-out twins."""
    return table(["twin", "what is different"], [[f"`{name}`", rules["title"]] for name, rules in shifts().items()])
