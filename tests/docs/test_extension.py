"""What strangers add from outside: registration, entry points, models compiled into the kernel."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT, blocks

from edge_experts.envs import (
    EnvError,
    ScenarioError,
    World,
    arrival_process,
    channel_model,
    load_scenario,
    make,
    mobility_model,
    quality_rule,
    register,
)
from edge_experts.envs.registry import find

AUCTION = next(text for _, text, name in blocks(ROOT / "docs/extending/environment.md") if name == "auction.py")


def test_a_package_called_envs_and_its_entry_point_are_known_beside_ours(tmp_path: Path) -> None:
    """Also in a remote sampling process."""
    package, info = tmp_path / "envs", tmp_path / "their_pkg-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir()
    (package / "__init__.py").write_text("WHOSE = 'mine'\n")
    (package / "auction.py").write_text(AUCTION)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_experts.envs]\nthem/auction-v0 = envs.auction:Auction\n")
    settings = ["--config", '{"train_batch_size_per_learner": 256}', "--stop", '{"training_iteration": 1}']
    train = ["train", "--algo", "PPO", "--env", "them/auction-v0", *settings, "--num-env-runners", "1"]
    script = (
        "import envs, edge_experts.envs as ours\n"
        "from edge_experts.agents.cli import main as rllib\n"
        "from edge_experts.baselines.cli import main as edge_experts\n"
        "assert envs.WHOSE == 'mine' and ours.World('text-v1').reset() is not None\n"
        "assert ours.make('envs.auction:Auction').rounds == 8\n"
        "import gymnasium, pettingzoo\n"
        "for kind in ('parallel', 'aec'):\n"
        "    assert pettingzoo.make(kind, 'them/auction-v0', rounds=3).unwrapped.possible_agents[2] == 'bidder_2'\n"
        "try:\n"
        "    raise SystemExit(gymnasium.make('them/auction-v0'))\n"
        "except ours.EnvError as error:\n"
        "    assert 'has several agents; pettingzoo.make(' in str(error)\n"
        "assert not edge_experts(['list']) and not edge_experts(['validate', 'them/auction-v0'])\n"
        f"assert not rllib({train})\n"
    )
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "them/auction-v0" in done.stdout


def test_registered_names_reach_every_maker(tmp_path: Path) -> None:
    import gymnasium
    import pettingzoo

    file = tmp_path / "here.yaml"
    file.write_text(load_scenario("text-v1", {"devices.count": 3}).to_yaml())
    register("test/here-v0", str(file), **{"episode.slots": 9})
    for env in (make("test/here-v0"), pettingzoo.make("parallel", "test/here-v0").unwrapped):
        assert (env.scenario.id, env.scenario.devices.count, env.scenario.episode.slots) == ("test/here-v0", 3, 9)
    assert World("test/here-v0").scenario.devices.count == 3
    assert gymnasium.make("test/here-v0", agent="user_1").reset(seed=1)[0]["observation"].shape == (73,)
    register("test/pole-v0", "gymnasium.envs.classic_control:CartPoleEnv", render_mode=None)
    assert make("test/pole-v0").observation_space.shape == (4,)
    assert gymnasium.make("test/pole-v0").observation_space.shape == (4,)
    with pytest.raises(EnvError, match="is a Gymnasium environment; gymnasium.make"):
        pettingzoo.make("parallel", "test/pole-v0")
    assert pickle.loads(pickle.dumps(find("test/here-v0"))).make().scenario.devices.count == 3


BAD = {
    "form": (lambda: register("here", "a:b"), EnvError, "id: 'here' must have the form namespace/name-v0"),
    "ours": (lambda: register("edge_experts/x-v0", "a:b"), EnvError, "a namespace other than edge_experts"),
    "twice": (lambda: [register("test/two-v0", "random:Random") for _ in "ab"], EnvError, "is registered already"),
    "target": (lambda: register("test/t-v0", "nothing"), EnvError, "target: 'nothing' must be module:Class"),
    "module": (lambda: register("test/m-v0", "no_such:Class"), EnvError, "'no_such' cannot be imported"),
    "class": (
        lambda: register("test/c-v0", "random:Randm"),
        EnvError,
        "'random' has no 'Randm'; did you mean 'Random'",
    ),
    "constant": (lambda: register("test/k-v0", "math:pi"), EnvError, "'math:pi' is a float, not a class"),
    "file": (lambda: make("none.py:Env"), EnvError, "there is no file 'none.py'"),
    "name": (lambda: make("edge_experts/txt-v0"), EnvError, "did you mean 'edge_experts/text-v1'"),
    "twin": (
        lambda: make("edge_experts/text-heldout-outrage-v1"),
        EnvError,
        "did you mean 'edge_experts/text-heldout-outage",
    ),
    "arguments": (lambda: make("textwrap:TextWrapper", x=1), EnvError, "cannot be made with \\(x=1\\)"),
    "yaml": (lambda: register("test/y-v0", "none.yaml"), ScenarioError, "there is no file 'none.yaml'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_registered_or_made(case: str) -> None:
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@quality_rule("test_geometry_only", aspects=("geometry",))
def geometry_only(experts, n, quality, work, aspects, gate, coherence, temperature):  # type: ignore[no-untyped-def]
    return aspects[0, 0]


@arrival_process("test_every_third")
def every_third(rate_per_s, slot, slot_s, phase):  # type: ignore[no-untyped-def]
    return 1e9 if slot % 3 == 0 else 0.0


@mobility_model("test_east")
def east(x_m, y_m, target_x_m, target_y_m, heading, step_m, area_m, u, v):  # type: ignore[no-untyped-def]
    return min(area_m, x_m + step_m), y_m, u, v, heading


@channel_model("test_flat")
def flat(distance_m, carrier_hz, line_of_sight):  # type: ignore[no-untyped-def]
    return 80.0


MODELS = {
    "requests.rule": "test_geometry_only",
    "arrivals.process": "test_every_third",
    "mobility.model": "test_east",
    "radio.channel": "test_flat",
}


def test_models_from_outside_decide_what_happens() -> None:
    world = World("object3d-v1", n_worlds=4, seed=1, overrides=MODELS)
    world.reset()
    rng, composed = np.random.default_rng(0), 0
    geometry = world.tables[0].dimensions["geometry"][world.tables[0].split("train")]
    columns = [world.tables[0].experts.index(name) for name in world.scenario.experts]
    for slot in range(1, 40):
        x, parts = world.state.users.x_m.copy(), world.state.parts.expert.copy()
        world.step(*world.sample_actions(rng))
        users = world.state.users
        assert slot % 3 == 0 or not users.arrived.any()
        assert np.allclose(users.x_m, np.minimum(300.0, x + 1.4 * 300.0)) and (users.target_x_m < 1).all()
        for b, u in zip(*np.nonzero(users.quality > 0), strict=True):
            first = parts[b, u, 0] if not (users.arrived[b, u] and users.done[b, u]) else None
            views = users.coverage_sum[b, u] / 2
            expected = geometry[users.prompt[b, u], columns[first]] * views
            if not users.arrived[b, u]:
                assert users.quality[b, u] == pytest.approx(expected)
                composed += 1
    shadow = world.state.links.shadow * np.where(world.state.links.line_of_sight, 4.0, 7.82)
    fading = 10 * np.log10(0.5 * (world.state.links.fading_re**2 + world.state.links.fading_im**2))
    assert np.allclose(world.state.links.gain_db, fading - 80.0 - shadow) and composed > 10


def test_models_from_outside_keep_what_the_kernel_promises() -> None:
    """Same bytes in any batch and in a copy; references by file name are the same model."""
    rng = np.random.default_rng(0)
    by_file = {field: f"{__file__}:{name}" for field, name in zip(MODELS, REFERENCES, strict=True)}
    many, alone = (World("object3d-v1", n, 3, MODELS, first_world=first) for n, first in ((8, 0), (1, 6)))
    named = World("object3d-v1", 8, 3, by_file)
    for world in (many, alone, named):
        world.reset()
    copy = None
    for slot in range(30):
        users, providers = many.sample_actions(rng)
        if slot == 10:
            copy = pickle.loads(pickle.dumps(many))
        for world in (many, named, *([copy] if copy else [])):
            world.step(users, providers)
        alone.step(users[6:7], providers[6:7])
        assert many.state.users[6].tobytes() == alone.state.users[0].tobytes()
        assert many.state.users.tobytes() == named.state.users.tobytes()
    assert copy is not None and copy.state.users.tobytes() == many.state.users.tobytes()


REFERENCES = ("geometry_only", "every_third", "east", "flat")

WRONG_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown rule": ({"requests.rule": "tekst"}, "requests.rule: 'tekst' is not known; did you mean 'text'"),
    "unknown column": ({"requests.rule": "object3d"}, "reads the column 'alignment', which text.csv does not have"),
    "no function": ({"radio.channel": f"{__file__}:flatt"}, "radio.channel: .* has no 'flatt'; did you mean 'flat'"),
    "no file": ({"radio.channel": "none.py:flat"}, "radio.channel: there is no file 'none.py'"),
    "too few arguments": (
        {"radio.channel": f"{__file__}:every_third"},
        "cannot be compiled as a function of \\(distance_m",
    ),
    "not compilable": ({"arrivals.process": f"{__file__}:sample_json"}, "arrivals.process: .* cannot be compiled"),
}


def sample_json(rate_per_s, slot, slot_s, phase):  # type: ignore[no-untyped-def]
    return pickle.dumps({"rate": rate_per_s})


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_models_that_cannot_be_used(case: str) -> None:
    overrides, message = WRONG_MODELS[case]
    with pytest.raises(ScenarioError, match=message) as error:
        World("text-v1", overrides=overrides)
    assert "\n" not in str(error.value)
    with pytest.raises(ScenarioError, match="'poisson' cannot be registered"):
        arrival_process("poisson")
