"""`edge-experts route`: let a policy route real questions to real experts."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs import Scenario
from edge_experts.envs.io.command_line import at_least, existing_file, new_file

from ...heuristics.policies import HINDSIGHT, POLICIES
from ...heuristics.policy_spec import PolicySpec, find_policies

HELP = "serve an OpenAI-compatible interface on this machine, behind which a policy picks the experts of a plan"
MOST_PORTS = 65535


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument(
        "--policy", required=True, metavar="CHECKPOINT|POLICY", help="a checkpoint, `zoo:NAME`, or a policy's name"
    )
    command.add_argument(
        "--plan", type=Path, required=True, metavar="PLAN.yaml", help="that `edge-experts record` was given"
    )
    command.add_argument(
        "--scenario", type=existing_file, metavar="YAML", help="that it wrote; by default the one beside the plan"
    )
    command.add_argument("--port", type=at_least(0, MOST_PORTS), default=8100, metavar="N", help="0: a free one")
    command.add_argument(
        "--log", type=new_file(".jsonl"), default=Path("route.jsonl"), metavar="FILE", help="a new file, .jsonl"
    )
    command.add_argument("--score", action="store_true", help="let the plan's judges score every answer")


def run(arguments: argparse.Namespace) -> None:
    """Serve until interrupted."""
    from edge_experts.recording.live.route import make_router, prepare
    from edge_experts.recording.live.server import HOST, listen, server_of

    ready = prepare(arguments.plan, arguments.scenario)
    policy = _policy(arguments.policy, ready.scenario)
    listener = listen(arguments.port)
    with listener:
        router = make_router(ready, policy, arguments.policy, arguments.log, arguments.score)
        port = listener.getsockname()[1]
        print(f"base_url http://{HOST}:{port}/v1, model {router.models[0]}; the log is {arguments.log}", flush=True)
        try:
            server_of(router).run(sockets=[listener])
        except KeyboardInterrupt:
            print()
        print(f"wrote {arguments.log}: {router.noted} questions")


def _policy(given: str, scenario: Scenario) -> PolicySpec:
    """The policy that is named.

    Raises:
        ValueError: if there is none, it does not fit the market, or it knows what nobody can know live.
    """
    if given in POLICIES and POLICIES[given].knows.startswith(HINDSIGHT):
        raise ValueError(f"--policy: '{given}' knows the future, which nobody does live: take another one")
    return next(iter(find_policies([given], scenario).values()))
