"""`edge-experts play`: watch a policy for one episode."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_experts.envs import Recorder, World, play_episodes
from edge_experts.envs.io.command_line import at_least, new_file
from edge_experts.envs.registry import Source, find

from ...arguments import add_changes, add_trust, refuse_for_others, scenario_of
from ...heuristics.policy_spec import PolicySpec

HELP = "watch a policy for one episode"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument("env", metavar="ID|YAML")
    command.add_argument(
        "--policy", metavar="POLICY|CHECKPOINT", help="coordinated by default; random, if the environment is no market"
    )
    add_trust(command)
    add_changes(command)
    command.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="key of the episode")
    command.add_argument("--slots", type=at_least(1), metavar="N", help="stop after so many slots")
    command.add_argument(
        "--save",
        type=new_file(".png", ".gif", ".mp4"),
        metavar="FILE",
        help="write a .png of the last slot, or a .gif or .mp4 of all, instead of text",
    )
    command.add_argument(
        "--record", type=new_file(), metavar="DIR", help="also write the episode as Parquet tables into a folder"
    )


def run(arguments: argparse.Namespace) -> None:
    """Play, and show or save what happens."""
    from edge_experts.envs.recording.render import draw, save_frames, write

    if (source := find(arguments.env)).market is None:
        refuse_for_others(arguments, "set", "record")
        _play_other(source, arguments)
        return
    world = World(scenario_of(arguments), seed=arguments.seed)
    policy = PolicySpec(arguments.policy or "coordinated", trust=arguments.trust)(world, arguments.seed)
    recorder, frames, save = Recorder(world), [], arguments.save
    last = min(arguments.slots or world.scenario.episode.slots, world.scenario.episode.slots)
    for slot, _ in enumerate(play_episodes(world, policy), start=1):
        recorder.note()
        if world.state.clock.over[0]:
            break  # the next episode has begun already
        if save is None:
            print(write(world), end="\n\n")
        elif save.suffix != ".png" or slot == last:
            frames.append(draw(world))
        if slot == last:
            break
    if save is not None:
        save_frames(frames or [draw(world)], save)
        print(f"wrote {save}")
    if arguments.record:
        print(f"wrote {recorder.save(Path(arguments.record))}")


def _play_other(source: Source, arguments: argparse.Namespace) -> None:
    from edge_experts.envs.recording.render import save_frames

    from ...evaluation.generic_env import film_generic, play_generic

    policy = arguments.policy or "random"
    if arguments.save is None:
        play_generic(source, policy, arguments.seed, arguments.slots, print)
        return
    frames = film_generic(source, policy, arguments.seed, arguments.slots)
    save_frames(frames[-1:] if arguments.save.suffix == ".png" else frames, arguments.save)
    print(f"wrote {arguments.save}")
