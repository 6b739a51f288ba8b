"""What `edge-experts speed` measures: worlds, views, sizes, training, and the peers that are installed."""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge_experts.envs import EdgeEnv, TurnEnv, World, load_scenario
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.sim.spec import ROLES
from edge_experts.envs.tables.reading import TABLES_DIR

from .measure import SpeedCase, Step

ENV = "edge_experts/text-v1"
KEPT = 16  # different sets of actions, drawn beforehand: drawing is not timed


def engine_cases() -> list[SpeedCase]:
    """`World` over numbers of worlds, users and experts, and the one-world views."""
    cases = [
        SpeedCase(f"World, {worlds:,} worlds", "world", 20, worlds, world_step, {"n_worlds": worlds})
        for worlds in (1, 32, 1024, 8192)
    ]
    for agents, providers, worlds in (
        (4, 1, 4096),
        (8, 4, 2560),
        (20, 4, 1024),
        (64, 4, 320),
        (128, 4, 160),
        (256, 4, 80),
    ):
        changes = {"devices.count": agents - providers, "providers.count": providers}
        options = {"n_worlds": worlds, "changes": changes}
        cases.append(SpeedCase(f"World, {agents} agents", "agents", agents, worlds, world_step, options))
    for experts in (4, 8, 16, 32):
        options = {"n_worlds": 1024, "experts": experts}
        cases.append(SpeedCase(f"World, {experts} experts", "experts", 20, 1024, experts_step, options))
    for agents in (8, 20, 64):
        changes = {"devices.count": agents - 4}
        cases.append(SpeedCase(f"EdgeEnv, {agents} agents", "view", agents, 1, parallel_step, {"changes": changes}))
    cases.append(SpeedCase("TurnEnv (AEC), 20 agents", "view", 20, 1, turns_step))
    return cases


def world_step(n_worlds: int, changes: dict[str, Any] | None = None) -> Step:
    """Slots of a `World` with random legal actions."""
    world, rng = World(ENV, n_worlds, seed=1, overrides=changes), np.random.default_rng(0)
    world.reset()
    actions = []
    for _ in range(KEPT):
        actions.append(world.sample_actions(rng))
        world.step(*actions[-1])

    def step(count: int) -> None:
        for i in range(count):
            world.step(*actions[i % KEPT])

    return step


def experts_step(n_worlds: int, experts: int, changes: dict[str, Any] | None = None) -> Step:
    """Slots of a `World` with so many experts; where the tables hold fewer, copies of theirs under other names."""
    names = load_scenario(ENV).experts
    wanted = [f"{names[i % len(names)]}{'' if i < len(names) else f'.{i // len(names)}'}" for i in range(experts)]
    with tempfile.TemporaryDirectory() as folder:
        changes = {**(changes or {}), "experts": wanted}
        for table, option in (("text", "tables.quality"), ("experts", "tables.experts")):
            with open(TABLES_DIR / f"{table}.csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            path = Path(folder) / f"{table}.csv"
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
                for copy in range(1, -(-experts // len(names))):
                    writer.writerows({**row, "expert": f"{row['expert']}.{copy}"} for row in rows)
            sidecar = yaml.safe_load((TABLES_DIR / f"{table}.yaml").read_text("utf-8"))
            sidecar = {name: value for name, value in sidecar.items() if name not in ("rows", "sha256")}
            path.with_suffix(".yaml").write_text(yaml.safe_dump(sidecar), "utf-8")
            changes[option] = str(path)
        return world_step(n_worlds, changes)


def parallel_step(changes: dict[str, Any] | None = None) -> Step:
    """Slots of the PettingZoo view, resets included."""
    return _parallel(EdgeEnv(ENV, changes))


def turns_step(changes: dict[str, Any] | None = None) -> Step:
    """Slots of the AEC view, every agent in turn, resets included."""
    recorded = _recorded(EdgeEnv(ENV, changes))
    env = TurnEnv(ENV, changes)
    length = len(recorded)

    def step(count: int) -> None:
        for i in range(count):
            if i % length == 0:
                env.reset(seed=1)
            actions = recorded[i % length]
            for _ in range(len(actions)):
                env.last()
                env.step(actions[str(env.agent_selection)])

    return step


def _recorded(env: Any) -> list[dict[str, Any]]:
    """An episode of random actions."""
    observations, _ = env.reset(seed=1)
    actions: list[dict[str, Any]] = []
    while env.agents and len(actions) < 64:
        actions.append({a: _sample(env.action_space(a), observations[a]) for a in env.agents})
        observations, *_ = env.step(actions[-1])
    return actions


def _sample(space: Any, observation: Any) -> Any:
    return space.sample(observation["action_mask"]) if isinstance(observation, dict) else space.sample()


def _parallel(env: Any) -> Step:
    recorded = _recorded(env)
    length = len(recorded)

    def step(count: int) -> None:
        for i in range(count):
            if i % length == 0 or not env.agents:
                env.reset(seed=1)
            env.step(recorded[i % length])

    return step


def training_cases(grid: bool) -> list[SpeedCase]:
    """Iterations of MoE-PPO on text-v1: batched, bare and stock; `grid` tries the stock runner's settings."""
    cases = [
        SpeedCase("MoE-PPO, batched runner", "training", 20, 1, rllib_step, {"runner": "batched"}, alone=True),
        SpeedCase("MoE-PPO, bare loop", "training", 20, 1, bare_step, {}, alone=True),
        SpeedCase(
            "PPO, flat networks", "training", 20, 1, rllib_step, {"runner": "batched", "network": "flat"}, alone=True
        ),
        SpeedCase(
            "PPO, entity networks",
            "training",
            20,
            1,
            rllib_step,
            {"runner": "batched", "network": "entities"},
            alone=True,
        ),
    ]
    settings: list[tuple[int, int, int | None]] = [(0, 32, None), (2, 32, None), (2, 128, None)]
    if grid:
        settings += [(runners, envs, 1024) for runners in (0, 1, 2) for envs in (1, 8, 32, 128)]
    for runners, envs, batch in settings:
        name = f"MoE-PPO, stock runner, {runners} x {envs} envs" + (f", batches of {batch:,}" if batch else "")
        options = {"runner": "stock", "envs": envs, "runners": runners, "batch": batch}
        cases.append(SpeedCase(name, "training", 20, 1, rllib_step, options, alone=True))
    return cases


FLAT: dict[str, Any] = {"network": "flat", "hidden": (64, 64), "credit": "reward"}


def _training_config(network: str | None = None) -> Any:
    """MoE-PPO with flat networks and plain rewards, where what runs them is compared; PPO with networks of a kind."""
    from edge_experts.configs.train import moe_ppo, ppo

    config = moe_ppo.config() if network is None else ppo.config()
    return config if network == "entities" else config.training(**FLAT)


def rllib_step(runner: str, batch: int | None = None, **options: Any) -> Step:
    """Iterations of training through RLlib; see `built_algorithm`."""
    algorithm = built_algorithm(runner=runner, batch=batch, **options)
    return Iterations(algorithm.train, algorithm.config.train_batch_size_per_learner, algorithm.stop)


def built_algorithm(
    network: str | None = None,
    runner: str = "batched",
    envs: int | None = None,
    runners: int = 0,
    batch: int | None = None,
) -> Any:
    """MoE-PPO with flat networks, or PPO with networks of a kind, ready to train."""
    from edge_experts.agents import ray_logging

    ray_logging.before_import()
    import ray

    from edge_experts.agents.setup import set_up

    ray_logging.after_import()
    config = _training_config(network).env_runners(num_env_runners=runners)
    if envs is not None:
        config.env_runners(num_envs_per_env_runner=envs)
    if batch is not None:
        config.training(train_batch_size_per_learner=batch)
    config = set_up(config, runner=runner)
    if not ray.is_initialized():
        cpus = max(4, runners + 2)
        ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", num_cpus=cpus)
    return config.build_algo()


def bare_step() -> Step:
    """Iterations of the bare loop."""
    config = _training_config()
    world = World(config.env, config.num_envs_per_env_runner, seed=1, overrides=config.env_config["overrides"])
    _, iterate = bare_loop(world, config)
    return Iterations(iterate, config.train_batch_size_per_learner)


def bare_loop(world: World, config: Any) -> tuple[list[Any], Callable[[], float]]:
    """PPO in a plain loop with the networks, batch, minibatches and updates of an RLlib configuration.

    Args:
        world: Where it trains.
        config: Of `MoEPPO`.

    Returns:
        The `Trainee` of each role, and an iteration, which returns the mean reward of an agent in a slot.
    """
    from edge_experts.agents.algorithms.ppo_loop import PPOSettings, Trainee, collect, learn
    from edge_experts.agents.networks.actor_critic import MixtureActorCritic

    batch = config.train_batch_size_per_learner
    settings, rng = PPOSettings.read(config, slots=batch // world.n_worlds), np.random.default_rng(0)
    model = {**config.mixture_of("").as_settings(), "hidden": config.hidden}
    trainees = []
    for role in ROLES:
        spaces = role_spaces(role, world.sizes)
        shapes = {"observation_space": spaces.observation, "action_space": spaces.action}
        module = MixtureActorCritic(**shapes, model_config=model)
        trainees.append(Trainee(role, np.arange(world.sizes.agents(role)), module, settings.lr))
    world.reset()

    def iterate() -> float:
        batches, reward = collect(world, trainees, settings, rng)
        for trainee, rows in zip(trainees, batches, strict=True):
            learn(trainee, rows, settings, minibatches=max(1, round(batch / settings.minibatch_size)))
        return reward

    return trainees, iterate


class Iterations:
    """Training, or a half of it, as a `Step` whose unit is an iteration of so many env steps."""

    def __init__(self, iterate: Any, env_steps: int, close: Any = None) -> None:
        self._iterate = iterate
        self.unit: int = env_steps
        self.close: Callable[[], Any] = close or (lambda: None)

    def __call__(self, count: int) -> None:
        """Iterate so often."""
        for _ in range(count):
            self._iterate()


def peer_cases() -> list[SpeedCase]:
    """Other suites, as far as they are installed (`pip install 'edge-experts[peers]'`)."""
    known = [
        ("mobile_env", SpeedCase("mobile-env small, 5 users", "peer", 5, 1, mobile_env_step, {"size": "small"})),
        ("mobile_env", SpeedCase("mobile-env medium, 15 users", "peer", 15, 1, mobile_env_step, {"size": "medium"})),
        ("mpe2", SpeedCase("mpe2 simple_spread, 3 agents", "peer", 3, 1, mpe_step, {"agents": 3})),
        ("mpe2", SpeedCase("mpe2 simple_spread, 10 agents", "peer", 10, 1, mpe_step, {"agents": 10})),
        (
            "lbforaging",
            SpeedCase("lbforaging 10x10-4p-4f", "peer", 4, 1, tuple_step, {"module": "lbforaging", "name": FORAGING}),
        ),
        ("rware", SpeedCase("rware small-4ag", "peer", 4, 1, tuple_step, {"module": "rware", "name": WAREHOUSE})),
    ]
    for worlds in (1, 32, 1024):
        case = SpeedCase(f"vmas simple_spread, {worlds:,} worlds", "peer", 3, worlds, vmas_step, {"n_worlds": worlds})
        known.append(("vmas", case))
    return [case for module, case in known if find_spec(module) is not None]


FORAGING, WAREHOUSE = "Foraging-10x10-4p-4f-v3", "rware-small-4ag-v2"


def mobile_env_step(size: str) -> Step:
    """mobile-env's multi-agent scenarios."""
    import gymnasium
    import mobile_env  # noqa: F401  registers its ids

    env: Any = gymnasium.make(f"mobile-{size}-ma-v0").unwrapped
    return _gymnasium(env, lambda: {key: space.sample() for key, space in env.action_space.spaces.items()})


def mpe_step(agents: int) -> Step:
    """mpe2's simple_spread as a parallel environment."""
    from mpe2 import simple_spread_v3

    return _parallel(simple_spread_v3.parallel_env(N=agents))


def tuple_step(module: str, name: str) -> Step:
    """A Gymnasium environment with a tuple of agents' actions."""
    import importlib

    import gymnasium

    importlib.import_module(module)
    env = gymnasium.make(name).unwrapped
    return _gymnasium(env, env.action_space.sample)


def _gymnasium(env: Any, sample: Any) -> Step:
    env.reset(seed=1)
    actions = [sample() for _ in range(KEPT)]

    def step(count: int) -> None:
        for i in range(count):
            _, _, terminated, truncated, _ = env.step(actions[i % KEPT])
            if np.all(terminated) or np.all(truncated):
                env.reset()

    return step


def vmas_step(n_worlds: int) -> Step:
    """The simple_spread of vmas, with one thread."""
    import torch
    import vmas

    torch.set_num_threads(1)
    with _silent():
        env = vmas.make_env("simple_spread", num_envs=n_worlds, device="cpu", n_agents=3, max_steps=100, seed=1)
    env.reset()
    actions = [[env.get_random_action(agent) for agent in env.agents] for _ in range(KEPT)]

    def step(count: int) -> None:
        for i in range(count):
            _, _, done, _ = env.step(actions[i % KEPT])
            if bool(done.all()):
                env.reset()

    return step


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(None):
        yield
