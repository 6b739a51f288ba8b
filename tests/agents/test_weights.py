"""Exports and the zoo: from tensors and JSON a policy plays the same, anywhere, and training goes on from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edge_experts.agents.checkpoints.manifest import MANIFEST, write_manifest
from edge_experts.agents.checkpoints.metadata import DESCRIPTION, checkpoints_of, read_description
from edge_experts.agents.checkpoints.modules import MODULES, WEIGHTS, read_modules
from edge_experts.agents.checkpoints.policy import CheckpointPolicy
from edge_experts.agents.checkpoints.weights import located, zoo
from edge_experts.agents.errors import CheckpointError
from edge_experts.agents.job import Job, train
from edge_experts.baselines.cli import main
from edge_experts.baselines.heuristics.policy_spec import PolicySpec
from edge_experts.envs import World

ENV = "edge_experts/text-v1"
SMALL = {
    "train_batch_size_per_learner": 48,
    "minibatch_size": 24,
    "num_epochs": 1,
    "num_envs_per_env_runner": 4,
    "num_env_runners": 0,
    "hidden": [8, 8],
    "network": "entities",
    "branches": 2,
    "top_k": 1,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any, end_of_ray: None) -> Path:
    run = train(
        Job(
            algo="MoEPPO",
            env=ENV,
            config=SMALL,
            stop={"training_iteration": 1},
            seed=0,
            local_dir=tmp_path_factory.mktemp("runs"),
        )
    )
    return checkpoints_of(run.folder)[-1]


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "mine"
    assert main(["export", str(trained), "--save", str(folder), "--episodes", "2"]) == 0
    return folder


def _actions(policy: Any, env: str = ENV) -> list[np.ndarray]:
    world = World(env, 3, seed=4)
    world.reset()
    found = []
    for _ in range(6):
        actions = policy.act(world)
        found += list(actions)
        world.step(*actions)
    return found


def test_an_export_plays_as_its_checkpoint_does_and_holds_no_pickle(trained: Path, exported: Path) -> None:
    assert sorted(file.name for file in exported.iterdir()) == [DESCRIPTION, MANIFEST, MODULES, WEIGHTS]
    about = read_description(exported)
    assert about["knows"] == "own view" and set(about["scores"]) == {"text-v1"} and about["seed"] == 0
    assert "--algo MoEPPO --env edge_experts/text-v1" in about["command"]
    for env in (ENV, "edge_experts/video-v1"):
        for one, other in zip(
            _actions(CheckpointPolicy(trained), env), _actions(PolicySpec(str(exported))(World(env)), env), strict=True
        ):
            assert np.array_equal(one, other)


def test_training_begins_from_an_export(exported: Path, tmp_path: Path, ray_here: Any) -> None:
    same = {"config": {**SMALL, "lr": 0.0}, "algo": "MoEPPO", "env": ENV, "local_dir": tmp_path}
    run = train(Job(**same, restore=exported, stop={"training_iteration": 1}))
    before, after = read_modules(exported), CheckpointPolicy(checkpoints_of(run.folder)[-1]).modules
    for role, module in before.items():
        for weight, kept in zip(module.parameters(), after[role].parameters(), strict=True):
            assert torch.equal(weight, kept)
    with pytest.raises(CheckpointError, match=r"has hidden = \[8, 8\] in its '\w+', the run \[4, 4\]: add --config"):
        train(Job(**{**same, "config": {**SMALL, "hidden": [4, 4]}}, restore=exported, stop={"training_iteration": 1}))


def test_the_zoo_is_found_by_name(exported: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("edge_experts.agents.checkpoints.weights.zoo", lambda: {"mine": exported})
    assert located("zoo:mine") == exported and located("runs/x") == Path("runs/x")
    with pytest.raises(CheckpointError, match="zoo:mina: is not in the zoo; did you mean 'mine'"):
        located("zoo:mina")
    assert main(["evaluate", "zoo:mine", "--env", ENV, "--episodes", "2"]) == 0
    assert main(["zoo"]) == 0
    out = capsys.readouterr().out
    assert "zoo:mine" in out and "rllib train --algo MoEPPO" in out


def test_what_is_shipped_can_be_played() -> None:
    for name, folder in zoo().items():
        about = read_description(folder)
        assert about["scores"] and about["command"].startswith("rllib train"), name
        world = World(about["env"], 1, 0)
        world.reset()
        world.step(*CheckpointPolicy(folder).act(world))
        assert not world.state.users.invalid.any()
        assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000, name


def _broken(folder: Path, change: str) -> str:
    about, modules = (json.loads((folder / name).read_text()) for name in (DESCRIPTION, MODULES))
    if change == "version":
        (folder / DESCRIPTION).write_text(json.dumps({**about, "version": 99}))
        return "has version 99, this package reads 2"
    if change == "field":
        (folder / DESCRIPTION).write_text(json.dumps({key: value for key, value in about.items() if key != "env"}))
        return "is damaged: it lacks env"
    if change == "kind":
        modules["user"]["class"] = "os:system"
        (folder / MODULES).write_text(json.dumps(modules))
        return "user: its network 'os:system' is code from elsewhere, which is not run: add --trust"
    if change == "no network":
        modules["user"]["class"] = "edge_experts.agents.job:train"
        (folder / MODULES).write_text(json.dumps(modules))
        return "user: 'edge_experts.agents.job:train' is not a RLModule"
    if change == "width":
        modules["user"]["model_config"]["hidden"] = [8, 9]
        (folder / MODULES).write_text(json.dumps(modules))
        return "does not fit"
    if change == "space":
        modules["user"]["observation_space"] = {"kind": "Box"}
        (folder / MODULES).write_text(json.dumps(modules))
        return "'user' cannot be built: KeyError: 'shape'"
    if change == "json":
        (folder / DESCRIPTION).write_text("[1, ")
        return "is damaged"
    if change == "tensors":
        (folder / WEIGHTS).write_bytes(b"nothing")
        return "cannot be read"
    tensors = load_file(folder / WEIGHTS)
    if change == "not finite":
        name = next(name for name in tensors if name.endswith("score.bias"))
        save_file({**tensors, name: tensors[name] * torch.nan}, folder / WEIGHTS)
        return "score.bias' is not finite"
    save_file({key: value for key, value in tensors.items() if not key.endswith("score.bias")}, folder / WEIGHTS)
    return "is damaged: '[a-z/_.]+score.bias' is missing"


CHANGES = ["version", "field", "kind", "no network", "width", "space", "json", "tensors", "not finite", "missing"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_broken_export_is_refused(change: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    said = _broken(folder, change)
    with pytest.raises(CheckpointError, match="is damaged: '[a-z_.]+' was changed; take another one"):
        CheckpointPolicy(folder)
    write_manifest(folder)  # as whoever made it on purpose would
    with pytest.raises(CheckpointError, match=said):
        CheckpointPolicy(folder)
