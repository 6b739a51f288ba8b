"""`edge-experts list`: list environments and policies."""

from __future__ import annotations

import argparse

from edge_experts.envs import load_scenario, shipped_ids
from edge_experts.envs.heldout import shifts
from edge_experts.envs.registry import CLASSES, known_ids
from edge_experts.envs.scenarios import heldout_ids

from ...heuristics.policies import POLICIES

HELP = "list environments and policies"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command takes nothing."""


def run(arguments: argparse.Namespace) -> None:
    """Print everything that other commands take by name."""
    print("environments")
    for name in shipped_ids():
        print(f"  {name:28s} {load_scenario(name).title}")
    for name, (_, title) in CLASSES.items():
        print(f"  {name:28s} {title}")
    ours = {*shipped_ids(), *heldout_ids(), *CLASSES}
    for name in known_ids():
        if name not in ours:
            print(f"  {name}")
    print("held-out twins, as edge_experts/text-heldout-outage-v1")
    for shift, rules in shifts().items():
        print(f"  {shift:28s} {rules['title']}")
    print("policies (of `edge-experts evaluate` and `play`)")
    for name, (_, text, _) in POLICIES.items():
        print(f"  {name:28s} {text}")
    print(f"  {'fixed:EXPERT':28s} always the same expert (`fixed:local`: the user's own)")
    print(f"  {'CHECKPOINT':28s} a checkpoint folder of `rllib train`")
