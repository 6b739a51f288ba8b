"""`edge-experts export`: a checkpoint's policies as tensors and JSON, to give away."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from edge_experts.envs import load_scenario
from edge_experts.envs.io.command_line import at_least, new_file

from ...arguments import add_trust

HELP = "write a checkpoint's policies as tensors and JSON, with their scores: what can be given away"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a folder of `rllib train`")
    command.add_argument("--save", type=new_file(), required=True, metavar="DIR", help="where to")
    command.add_argument(
        "--episodes",
        type=at_least(1),
        metavar="N",
        help="that scores are measured on; by default as many as floor and reference were measured on",
    )
    command.add_argument("--envs", nargs="+", metavar="ID", help="where; those that it was trained on by default")
    command.add_argument("--explore", action="store_true", help="draw actions while scores are measured")
    add_trust(command)
    command.add_argument("--command", dest="how", metavar="TEXT", help="the command that trained it")


def run(arguments: argparse.Namespace) -> None:
    """Measure, write, and say what it is good for."""
    from edge_experts.agents import ray_logging

    ray_logging.before_import()
    from edge_experts.agents.checkpoints.policy import CheckpointPolicy
    from edge_experts.agents.checkpoints.weights import export_policy

    from ...evaluation.transfer import market_score

    ray_logging.after_import()
    policy = CheckpointPolicy(arguments.checkpoint, explore=arguments.explore, trust=arguments.trust)
    about = policy.description
    envs = arguments.envs or about.get("markets") or [about["env"]]
    scores = {}
    for env in envs:
        score = market_score(policy, load_scenario(env), arguments.episodes)
        scores[env.rpartition("/")[2]] = round(score, 4)
    notes = {
        "knows": policy.knows,
        "explore": arguments.explore,
        "scores": scores,
        "command": arguments.how or _command(about),
    }
    export_policy(dict(policy.modules.items()), about, arguments.save, notes)
    told = ", ".join(f"{env} {score:.3f}" for env, score in scores.items())
    print(f"wrote {arguments.save}: {told}")


def _command(about: dict[str, Any]) -> str:
    """The gist of how it was trained, where nobody says more."""
    env = ",".join(about.get("markets") or [about["env"]])
    algo = about["algo"].removeprefix("Masked")
    return shlex.join(["rllib", "train", "--algo", algo, "--env", env, "--seed", str(about["seed"] or 0)])
