"""The `rllib` command: train, evaluate and list, on RLlib's new API stack."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edge_experts.envs.io.answer import answer
from edge_experts.envs.io.command_line import (
    LARGEST_SEED,
    Parser,
    add_about,
    at_least,
    command_of,
    json_object,
    parse,
    with_file,
)
from edge_experts.envs.scenarios import parse_overrides

from . import ray_logging
from .policy_mapping import SCHEMES
from .presets import gather, presets, read_words
from .reward import REWARDS
from .sampling.turns import ORDERS

RUNNERS = ("auto", "stock", "batched")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="rllib", description="Train and evaluate with RLlib, new API stack.")
    add_about(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser(
        "train",
        help="train an algorithm on an environment",
        usage="rllib train PRESET [SETTING=VALUE ...] [options]\n"
        "       rllib train file X.py|X.yaml [SETTING=VALUE ...] [options]\n"
        "       rllib train --algo NAME --env ID [SETTING=VALUE ...] [options]",
    )
    train.add_argument(
        "source",
        nargs="*",
        metavar="PRESET|file PATH|SETTING=VALUE",
        help="a shipped preset, see `rllib list`, or a Python file with `config` (and `stop`), or a YAML file; then "
        "settings of the algorithm, as lr=3e-4 num_epochs=4",
    )
    train.add_argument(
        "--algo", "--run", help="algorithm, see `rllib list`, or module:Class / file.py:Class of an RLlib Algorithm"
    )
    train.add_argument(
        "--env",
        help="our id, scenario .yaml, Gymnasium id, or module:Class / file.py:Class of a PettingZoo parallel env; "
        "replaces the file's",
    )
    train.add_argument("--config", type=json_object, default={}, metavar="JSON", help="settings of the algorithm")
    train.add_argument(
        "--stop", type=json_object, metavar="JSON", help='as {"env_steps": 1000000}; replaces the file\'s'
    )
    train.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a scenario field, as devices.count=32"
    )
    train.add_argument(
        "--reward",
        choices=tuple(REWARDS),
        help="what agents are paid: each its own reward, or all the mean (as the file and the scenario say)",
    )
    train.add_argument(
        "--policies", choices=SCHEMES, help="which agents share a policy (per_role, if the file says nothing)"
    )
    train.add_argument(
        "--order",
        choices=ORDERS,
        help="how users choose in a slot: all at once, each by its own view, or in turn, hearing the choices before",
    )
    train.add_argument(
        "--imitate",
        metavar="PLANNER",
        help="imitate a planner for the first third of the steps, as coordinated, or module:maker / file.py:maker",
    )
    train.add_argument("--runner", default="auto", choices=RUNNERS, help="how environments are sampled")
    train.add_argument(
        "--num-env-runners", type=at_least(0), metavar="N", help="remote sampling processes (0: in this one)"
    )
    train.add_argument(
        "--ray-address",
        metavar="ADDR",
        default=os.environ.get("RAY_ADDRESS"),
        help="train on this Ray cluster, as `auto` or host:6379 (RAY_ADDRESS by default); sampling runs on its nodes",
    )
    train.add_argument("--seed", type=at_least(0, LARGEST_SEED), help="seed of weights, sampling and environments")
    train.add_argument(
        "--checkpoint-freq",
        type=at_least(0),
        default=0,
        metavar="N",
        help="iterations between checkpoints (0: at the end)",
    )
    train.add_argument(
        "--checkpoint-steps", type=at_least(0), default=0, metavar="N", help="environment steps between checkpoints"
    )
    train.add_argument(
        "--restore",
        type=Path,
        metavar="CKPT",
        help="begin from the weights of a checkpoint, an export or zoo:NAME, in a new results directory",
    )
    train.add_argument(
        "--trust",
        action="store_true",
        help="trust whoever wrote the checkpoint of --restore: go on from all its state, whose pickles may run code",
    )
    train.add_argument(
        "--resume", action="store_true", help="continue the last run of this name from its last checkpoint"
    )
    train.add_argument(
        "--logger", choices=("wandb", "mlflow"), help="send numbers and pictures there, beside TensorBoard's events"
    )
    train.add_argument("--local-dir", type=Path, default=Path("runs"), metavar="D", help="where results directories go")
    train.add_argument("--name", help="name of the results directory")
    evaluate = commands.add_parser("evaluate", help="play a checkpoint")
    evaluate.add_argument("checkpoint", type=Path, help="a checkpoint folder of `rllib train`")
    evaluate.add_argument("--episodes", type=at_least(1), default=10, metavar="N", help="how many to play")
    evaluate.add_argument(
        "--env", metavar="ID", help="where to play it, as `rllib train` takes it; where it was trained by default"
    )
    evaluate.add_argument(
        "--trust", action="store_true", help="trust whoever wrote it: import its environment and networks, and unpickle"
    )
    evaluate.add_argument("--render", action="store_true", help="print the world after every step of the first episode")
    commands.add_parser("list", help="list environments, algorithms and policy schemes")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2: the input is not valid)."""
    started = time.perf_counter()
    words, parser = sys.argv[1:] if argv is None else list(argv), build_parser()
    arguments = parse(parser, gather(words, command_of(parser, "train")) if words[:1] == ["train"] else words)
    if isinstance(arguments, int):
        return arguments
    ray_logging.before_import()
    try:  # imported from here on, so that `rllib --help` answers at once
        from edge_experts.envs import ScenarioError, TableError
        from edge_experts.envs.registry import EnvError

        from .errors import CheckpointError, SetupError, TrainingError
        from .job import Job  # noqa: F401  fails here if Ray is missing
    except ModuleNotFoundError as error:
        print(f"rllib: {error}; pip install 'edge-experts[rllib]'", file=sys.stderr)
        return 2
    ray_logging.after_import()
    commands: dict[str, Callable[[argparse.Namespace], None]]
    commands = {"train": partial(_train, started=started), "evaluate": _evaluate, "list": _list}

    def work() -> int:
        try:
            commands[arguments.command](arguments)
        except ScenarioError as error:
            raise ScenarioError(with_file(str(error), arguments)) from None
        return 0

    return answer("rllib", work, (SetupError, TrainingError, EnvError, ScenarioError, TableError, CheckpointError))


def _train(arguments: argparse.Namespace, started: float) -> None:
    from .checkpoints.metadata import latest_checkpoint
    from .job import Job, train
    from .launch.results import RESULTS
    from .training import CURVE

    options = dict(vars(arguments))
    file, settings = read_words(options.pop("source"))
    changes = parse_overrides(options.pop("set"))
    del options["command"]
    options["config"] = {**options["config"], **settings}
    run = train(Job(**options, file=file, overrides=changes), started, partial(print, flush=True))
    folder = run.folder
    print(f"results     {folder / RESULTS}\ncheckpoint  {latest_checkpoint(folder)}")
    if run.reward is not None:
        print(f"reward      {run.reward}" + ("; credit: difference" if run.credit == "difference" else ""))
    print(f"TensorBoard tensorboard --logdir {folder}")
    if (folder / CURVE).exists():
        print(f"curve       {folder / CURVE}")
    print(f"time        {run.stopwatch}")
    last = run.rows[-1] if run.rows else {}
    names = ("training_iteration", "env_steps", "time_total_s", "episode_return_mean", "normalised_score")
    known = {name: last[name] for name in names if last.get(name) is not None}
    print("  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in known.items()))


def _evaluate(arguments: argparse.Namespace) -> None:
    from .checkpoints.play import play_checkpoint

    play_checkpoint(arguments.checkpoint, arguments.episodes, arguments.render, arguments.env, arguments.trust)


def _list(arguments: argparse.Namespace) -> None:
    from edge_experts.envs import shipped_ids
    from edge_experts.envs.registry import CLASSES

    from .setup import algorithm_names

    print("environments (and any Gymnasium id, module:Class, file.py:Class, scenario .yaml)")
    print("\n".join(f"  {name}" for name in (*shipped_ids(), *CLASSES)))
    print("presets")
    print("\n".join(f"  {name}" for name in presets()))
    print("algorithms")
    print("\n".join(f"  {name}" for name in algorithm_names()))
    print("policies")
    print("\n".join(f"  {name:12s} {text}" for name, text in SCHEMES.items()))


if __name__ == "__main__":
    sys.exit(main())
