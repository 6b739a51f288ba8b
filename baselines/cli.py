"""The `edge-experts` command: evaluate, list, describe, play, calibrate, speed."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_experts.envs import Recorder, ScenarioError, TableError, World, load_scenario, shipped_ids
from edge_experts.envs.heldout import shifts
from edge_experts.envs.io.atomic import check_folder, write_text
from edge_experts.envs.registry import Source, find, known_ids
from edge_experts.envs.scenarios import heldout_ids, parse_overrides

from .commands import compare
from .commands.arguments import add_changes, add_env, add_players
from .heuristics.policies import POLICIES
from .heuristics.policy_spec import Player, find_players
from .provenance import where_from

GROUPS = ("world", "agents", "experts", "view", "peer", "training")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="edge-experts", description="Markets of edge experts: evaluate, look at, describe."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    evaluate = commands.add_parser("evaluate", help="measure a policy or a checkpoint, with its floor and bound")
    add_players(evaluate)
    add_env(evaluate, "an id, a scenario file, or module:Class or file.py:Class")
    evaluate.add_argument("--episodes", type=int, default=100, metavar="N")
    evaluate.add_argument(
        "--seed", type=int, default=0, metavar="S", help="key of the episodes; never that of a training run"
    )
    evaluate.add_argument(
        "--split", choices=("train", "heldout", "all"), help="prompts to draw from (the scenario's own by default)"
    )
    evaluate.add_argument(
        "--json", type=Path, metavar="F", help="write the result (a list, if there are several) to a file"
    )
    commands.add_parser("list", help="list environments and policies")
    page = commands.add_parser("describe", help="print a scenario's page: fields, observations, actions")
    page.add_argument("env", metavar="ID|YAML")
    add_changes(page)
    play = commands.add_parser("play", help="watch a policy for one episode")
    play.add_argument("env", metavar="ID|YAML")
    play.add_argument(
        "--policy", metavar="POLICY|CHECKPOINT", help="coordinated by default; random, if the environment is no market"
    )
    add_changes(play)
    play.add_argument("--seed", type=int, default=0)
    play.add_argument("--slots", type=int, metavar="N", help="stop after so many slots")
    play.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write a .png of the last slot, or a .gif or .mp4 of all, instead of text",
    )
    play.add_argument(
        "--record", type=Path, metavar="DIR", help="also write the episode as Parquet tables into a folder"
    )
    board = commands.add_parser("dashboard", help="show a run or a recorded episode in the browser")
    board.add_argument(
        "folder", type=Path, metavar="RUN|EPISODE", help="of `rllib train`, or of `edge-experts play --record`"
    )
    board.add_argument("--port", type=int, default=8765, metavar="N", help="on this machine; 0: any free one")
    board.add_argument("--html", type=Path, metavar="F", help="write the page to a file instead of serving it")
    calibrate = commands.add_parser("calibrate", help="measure the floor, the bound and all heuristics of scenarios")
    calibrate.add_argument("envs", nargs="*", metavar="ID|YAML", help="all shipped scenarios by default")
    calibrate.add_argument("--episodes", type=int, default=200, metavar="N")
    calibrate.add_argument(
        "--heldout",
        action="store_true",
        help="also the held-out twins, by the main heuristics, on a quarter of the episodes",
    )
    calibrate.add_argument(
        "--references", type=Path, metavar="F", help="also store floor and bound for `rllib train`, here"
    )
    check = commands.add_parser("validate", help="find what is wrong with an environment or a scenario")
    check.add_argument("env", metavar="ID|YAML|module:Class|file.py:Class")
    check.add_argument("--seed", type=int, default=0, metavar="S")
    speed = commands.add_parser("speed", help="measure the speed of worlds, views, training and installed peers")
    speed.add_argument("--rounds", type=int, default=3, metavar="N", help="times every case is measured, in turns")
    speed.add_argument("--seconds", type=float, default=1.0, metavar="S", help="about how long each time")
    speed.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; all by default",
    )
    speed.add_argument(
        "--grid", action="store_true", help="also try all settings of RLlib's stock runner, in small batches"
    )
    speed.add_argument("--json", type=Path, metavar="F", help="write the measurements to a file")
    speed.add_argument("--plot", type=Path, metavar="F", help="draw cost against size, .png or .svg")
    compare.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (1: `validate` found faults; 2: the input is not valid)."""
    arguments = build_parser().parse_args(argv)
    arguments.line = shlex.join(["edge-experts", *(sys.argv[1:] if argv is None else argv)])
    commands = {
        "evaluate": _evaluate,
        "list": _list,
        "describe": _describe,
        "play": _play,
        "calibrate": _calibrate,
        "validate": _validate,
        "dashboard": _dashboard,
        "speed": _speed,
        **compare.COMMANDS,
    }
    try:
        return commands[arguments.command](arguments) or 0
    except ModuleNotFoundError as error:
        print(f"edge-experts: {error}; pip install 'edge-experts[rllib,plot,speed,dashboard]'", file=sys.stderr)
        return 2
    except (ScenarioError, TableError, ValueError, ImportError) as error:
        print(f"edge-experts: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _evaluate(arguments: argparse.Namespace) -> None:
    from .evaluation.evaluate import evaluate
    from .evaluation.score_table import across_checkpoints, score_table

    changes = parse_overrides(arguments.set)
    if arguments.episodes < 1:
        raise ValueError(f"--episodes: {arguments.episodes} must be 1 or more")
    if arguments.json:
        check_folder(arguments.json)
    if (source := find(arguments.env)).market is None:
        _evaluate_outside(source, arguments)
        return
    world = World(load_scenario(arguments.env, changes))
    players = find_players(arguments.policies, world.scenario, arguments.explore)
    policies = {name: player(world) if player.is_checkpoint else player.given for name, player in players.items()}
    results = evaluate(
        policies, arguments.env, arguments.episodes, arguments.seed, arguments.split, changes, progress=True
    )
    print(score_table(results))
    trained = [result for result in results if players[result["policy"]].is_checkpoint]
    if len(trained) > 1:
        print(across_checkpoints(trained))
    _write_results(results, arguments.json)


def _evaluate_outside(source: Source, arguments: argparse.Namespace) -> None:
    from .evaluation.generic_env import evaluate_outside, results_table

    _refuse(arguments, "set", "split", "explore")
    results = evaluate_outside(source, arguments.policies, arguments.episodes, arguments.seed)
    print(results_table(results))
    _write_results(results, arguments.json)


def _refuse(arguments: argparse.Namespace, *options: str) -> None:
    """Options that mean nothing for an environment that is not a market."""
    for option in options:
        if getattr(arguments, option):
            raise ValueError(f"--{option}: is for markets; {arguments.env} is none")


def _write_results(results: list[dict[str, Any]], path: Path | None) -> None:
    if path:
        write_text(path, json.dumps(results[0] if len(results) == 1 else results, indent=1) + "\n")
        print(f"wrote {path}")


def _list(arguments: argparse.Namespace) -> None:
    print("environments")
    for name in shipped_ids():
        print(f"  {name:28s} {load_scenario(name).title}")
    others = [name for name in known_ids() if name not in (*shipped_ids(), *heldout_ids())]
    for name in others:
        print(f"  {name}")
    print("held-out twins, as edge_experts/text-heldout-outage-v0")
    for shift, rules in shifts().items():
        print(f"  {shift:28s} {rules['title']}")
    print("policies (of `edge-experts evaluate` and `play`)")
    for name, (_, text) in POLICIES.items():
        print(f"  {name:28s} {text}")
    print(f"  {'fixed:EXPERT':28s} always the same expert (`fixed:local`: the device's own)")
    print(f"  {'CHECKPOINT':28s} a checkpoint folder of `rllib train`")


def _describe(arguments: argparse.Namespace) -> None:
    from .pages.scenario_pages import page

    if (source := find(arguments.env)).market is None:
        from .evaluation.generic_env import describe_outside

        _refuse(arguments, "set")
        print(describe_outside(source))
        return
    print(page(World(load_scenario(arguments.env, parse_overrides(arguments.set)))))


def _play(arguments: argparse.Namespace) -> None:
    from edge_experts.envs.recording.render import draw, write

    if (source := find(arguments.env)).market is None:
        from .evaluation.generic_env import play_outside

        _refuse(arguments, "set", "save", "record")
        play_outside(source, arguments.policy or "random", arguments.seed, arguments.slots, print)
        return
    world = World(load_scenario(arguments.env, parse_overrides(arguments.set)), seed=arguments.seed)
    policy = Player(arguments.policy or "coordinated")(world, arguments.seed)
    if arguments.save:
        check_folder(arguments.save)
        if arguments.save.suffix not in (".png", ".gif", ".mp4"):
            raise ValueError(f"--save: '{arguments.save}' must end in .png, .gif or .mp4")
    if arguments.slots is not None and arguments.slots < 1:
        raise ValueError(f"--slots: {arguments.slots} must be 1 or more")
    if arguments.record:
        check_folder(arguments.record)
    recorder, frames = Recorder(world), []
    world.reset()
    slots = min(arguments.slots or world.scenario.episode.slots, world.scenario.episode.slots)
    for slot in range(1, slots + 1):
        world.step(*policy.act(world))
        recorder.note()
        if world.state.clock.over[0]:
            break  # the next episode has begun already
        if not arguments.save:
            print(write(world), end="\n\n")
        elif arguments.save.suffix != ".png" or slot == slots:
            frames.append(draw(world))
    if arguments.save:
        _save(frames or [draw(world)], arguments.save)
    if arguments.record:
        print(f"wrote {recorder.save(arguments.record)}")


def _save(frames: list[Any], path: Path) -> None:
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    if path.suffix == ".mp4":
        import imageio.v3 as imageio

        # two pictures a second; even sizes, as the codec asks
        pictures = [frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2] for frame in frames]
        imageio.imwrite(part, np.stack(pictures), fps=2, codec="libx264", macro_block_size=2, plugin="FFMPEG")
        part.replace(path)
        print(f"wrote {path}")
        return
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(
        part, format=path.suffix[1:].upper(), save_all=len(images) > 1, append_images=images[1:], duration=500, loop=0
    )
    part.replace(path)
    print(f"wrote {path}")


def _calibrate(arguments: argparse.Namespace) -> None:
    from .evaluation.calibration import calibrate, reference_of
    from .evaluation.score_table import score_table

    if arguments.references:
        check_folder(arguments.references)
    if arguments.episodes < 2:
        raise ValueError(f"--episodes: {arguments.episodes} must be 2 or more")
    references = {}
    envs = arguments.envs or shipped_ids()
    twins = [twin for env in envs for twin in heldout_ids(env)] if arguments.heldout else []
    for env in (*envs, *twins):
        quick = env in twins
        results = calibrate(env, max(2, arguments.episodes // 4) if quick else arguments.episodes, quick)
        print(f"{env}\n{score_table(results)}\n")
        references.update(reference_of(results))
    if arguments.references:
        write_text(arguments.references, json.dumps(references, indent=1) + "\n")
        print(f"wrote {arguments.references}")


def _dashboard(arguments: argparse.Namespace) -> None:
    from .pages.dashboard import build_page, serve

    if arguments.html:
        check_folder(arguments.html)
        if arguments.html.suffix != ".html":
            raise ValueError(f"--html: '{arguments.html}' must end in .html")
    page = build_page(arguments.folder)
    if arguments.html:
        write_text(arguments.html, page)
        print(f"wrote {arguments.html}")
        return
    with serve(page, arguments.port) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}  (Ctrl-C ends it)", flush=True)
        server.serve_forever()


def _validate(arguments: argparse.Namespace) -> int:
    from .validation.runner import FAULT, findings_table, validate

    findings = validate(arguments.env, arguments.seed, progress=True)
    print(findings_table(findings))
    return int(any(finding.verdict == FAULT for finding in findings))


def _speed(arguments: argparse.Namespace) -> None:
    from .speed.cases import engine_cases, peer_cases, training_cases
    from .speed.measure import as_json, draw_speed, machine, measure, speed_table

    if arguments.rounds < 1:
        raise ValueError(f"--rounds: {arguments.rounds} must be 1 or more")
    if not arguments.seconds > 0:
        raise ValueError(f"--seconds: {arguments.seconds} must be positive")
    for path, endings in ((arguments.json, (".json",)), (arguments.plot, (".png", ".svg"))):
        if path:
            check_folder(path)
            if path.suffix not in endings:
                raise ValueError(f"'{path}' must end in {' or '.join(endings)}")
    cases = [*engine_cases(), *peer_cases(), *training_cases(arguments.grid)]
    wanted = [case for case in cases if case.group in arguments.only]
    here = machine()
    results = measure(wanted, arguments.rounds, arguments.seconds, progress=True)
    print(f"{here['processor']}, {here['cpus']} processors, {here['memory_gb']} GB\n")
    print(speed_table(results))
    if arguments.json:
        data = {"machine": here, **where_from(), "rounds": arguments.rounds, "measurements": as_json(results)}
        write_text(arguments.json, json.dumps(data, indent=1) + "\n")
        print(f"wrote {arguments.json}")
    if arguments.plot:
        draw_speed(results, arguments.plot)
        print(f"wrote {arguments.plot}")


if __name__ == "__main__":
    sys.exit(main())
