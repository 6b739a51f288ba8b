"""`edge-experts speed`: measure the speed of worlds, views, training and installed peers."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from edge_experts.envs.io.command_line import at_least, new_file, positive

from ...arguments import write_json
from ...provenance import where_from

GROUPS = ("world", "agents", "experts", "view", "peer", "training", "growth")

HELP = "measure the speed of worlds, views, training and installed peers"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    command.add_argument(
        "--rounds", type=at_least(1), default=3, metavar="N", help="times every case is measured, in turns"
    )
    command.add_argument("--seconds", type=positive, default=1.0, metavar="S", help="about how long each time")
    command.add_argument(
        "--only",
        nargs="+",
        choices=GROUPS,
        default=GROUPS,
        metavar="GROUP",
        help=f"of {', '.join(GROUPS)}; all by default",
    )
    command.add_argument(
        "--grid", action="store_true", help="also try all settings of RLlib's stock runner, in small batches"
    )
    command.add_argument(
        "--against",
        metavar="REV|WHEEL",
        help="measure this version and another one in turns: a revision of the repository here, or a wheel",
    )
    command.add_argument("--json", type=new_file(".json"), metavar="F", help="write the measurements to a file")
    command.add_argument(
        "--plot",
        type=new_file(".png", ".svg"),
        metavar="F",
        help="draw cost against size, .png or .svg; with --only growth a panel for each size",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, print a table, write what is asked for."""
    if arguments.against:
        _against(arguments)
        return
    from ...speed.cases import engine_cases, peer_cases, training_cases
    from ...speed.growth import GROUP, draw_growth, exchanged, growth_cases
    from ...speed.measure import as_json, draw_speed, machine, measure, speed_table

    cases = [*engine_cases(), *peer_cases(), *training_cases(arguments.grid), *growth_cases()]
    wanted = [case for case in cases if case.group in arguments.only]
    here = machine()
    results = measure(wanted, arguments.rounds, arguments.seconds, progress=True)
    print(f"{here['processor']}, {here['cpus']} processors, {here['memory_gb']} GB\n")
    print(speed_table(results))
    about = {"machine": here, **where_from(), "rounds": arguments.rounds}
    if GROUP in arguments.only:
        about["exchanged"] = exchanged()
    write_json(arguments.json, {**about, "measurements": as_json(results)})
    if arguments.plot:
        (draw_growth if list(arguments.only) == [GROUP] else draw_speed)(results, arguments.plot)
        print(f"wrote {arguments.plot}")


def _against(arguments: argparse.Namespace) -> None:
    """Measure two versions in turns."""
    from ...speed.against import ENV, built, compare, here, ratio_table, version_of
    from ...speed.measure import machine

    with built(arguments.against) as site:
        mine, theirs = version_of(here()), version_of(site)
        found = compare(site, arguments.rounds, arguments.seconds)
    about = machine()
    print(f"{about['processor']}, {about['cpus']} processors, {about['memory_gb']} GB\n")
    print(ratio_table(found, mine, arguments.against))
    told = {"env": ENV, "against": arguments.against, "their_version": theirs, "rounds": arguments.rounds}
    write_json(arguments.json, {"machine": about, **where_from(), **told, "ratios": [asdict(one) for one in found]})
