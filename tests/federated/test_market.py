"""Trained experts in the market: what the table holds, and that the market answers as the networks do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_experts.baselines.cli import main
from edge_experts.baselines.validation.runner import FAULT, validate
from edge_experts.envs import World, load_scenario
from edge_experts.envs.sim.state import ON_TIME
from edge_experts.envs.tables import ExpertTable, QualityTable
from edge_experts.federated.data import load_data
from edge_experts.federated.market import asked_by, gate_of, gate_readings, names
from edge_experts.federated.plan import load_plan
from edge_experts.federated.training.clients import gather
from edge_experts.federated.training.features import features
from edge_experts.federated.training.methods import Lab
from edge_experts.federated.training.networks import logits

TINY = {
    "data": "digits",
    "clients": "4",
    "reach": "all",
    "rounds.features": "3",
    "rounds.gate": "3",
    "training.hidden": "16",
    "training.expert_epochs": "3",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    found = tmp_path_factory.mktemp("market") / "tiny"
    words = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    assert main(["federate", "dirichlet01", *words, "--table", str(found), "--images", "20"]) == 0
    return found


@pytest.fixture(scope="module")
def lab() -> Lab:
    torch.set_num_threads(1)
    return Lab(gather(load_plan("dirichlet01", TINY), load_data("digits"), 0))


def test_the_market_answers_as_the_trained_networks_do(folder: Path, lab: Lab) -> None:
    """Quality of every answered request against extractor, experts and gate run on the same image."""
    world = World(folder / "scenario.yaml", 16, seed=1, overrides={"radio.range_m": None, "tables.split": "all"})
    table = QualityTable.load(folder / "table.csv", ExpertTable.load(folder / "experts.csv"))
    gates = lab.run("fedgate").weights
    inputs, experts = features(lab.extractor[0], lab.clients.test_images), lab.experts[0]
    rng, compared = np.random.default_rng(0), 0
    world.reset()
    for _ in range(60):
        prompts = world.state.users.prompt.copy()
        world.step(*world.sample_actions(rng))
        for b, u in zip(*np.nonzero(world.state.users.ended == ON_TIME), strict=True):
            image = int(table.prompts[prompts[b, u]])
            assert table.category[prompts[b, u]] == u, "a user asks for its own client's images"
            chosen = sorted(int(e) for e in world.state.asked[b, u] if e >= 0)
            shares = logits(gate_of(gates, u), inputs[image])[chosen].softmax(dim=0)
            answers = torch.stack([logits(experts[e], inputs[image]).softmax(dim=0) for e in chosen])
            probability = float((shares @ answers)[lab.clients.test_labels[image]])
            assert world.state.users.quality[b, u] == pytest.approx(probability, abs=1e-5)
            compared += len(chosen) == 2
    assert compared > 100


def test_a_table_says_who_asks_and_what_it_takes_and_never_what_is_right(folder: Path, lab: Lab) -> None:
    table = QualityTable.load(folder / "table.csv", ExpertTable.load(folder / "experts.csv"))
    assert table.categories == table.experts == ("client0", "client1", "client2", "client3")
    assert set(table.dimensions) == {"correct", "gate"} and set(table.status.values()) <= {"recorded", "unstated"}
    assert (table.output_bits == 32 * 10).all() and (table.work_units == 16 * 10).all()
    assert table.feature_bits is not None and (table.feature_bits == 32 * 16).all()
    assert ((table.quality > 0.5) <= (table.dimensions["correct"] == 1)).all()
    for k in range(4):
        asked = asked_by(lab.clients, k, 20)
        assert [int(p) for p, c in zip(table.prompts, table.category, strict=True) if c == k] == asked.tolist()
        assert (lab.clients.mixes[k, lab.clients.test_labels[asked]] > 0).all(), "of classes that the client has"
    one = asked_by(lab.clients, 0, 10**6)
    assert len(one) == (lab.clients.mixes[0, lab.clients.test_labels] > 0).sum()


def test_a_table_is_valid_and_its_folder_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not [f for f in validate(str(folder / "scenario.yaml"), 0, progress=False) if f.verdict == FAULT]
    capsys.readouterr()  # the notice that the simulation is being compiled
    assert main(["federate", "dirichlet01", "--set", "data=digits", "--table", str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "--table: " in told and "exists" in told
    assert main(["federate", "dirichlet01"]) == 2 and "--save: say where" in capsys.readouterr().err


def test_a_gate_that_the_table_cannot_hold_is_refused() -> None:
    assert gate_readings([torch.zeros(2, 3), torch.tensor([-16.0, 0.0, 16.0])], torch.zeros(1, 2)).tolist() == [
        [0, 0.5, 1]
    ]
    with pytest.raises(ValueError, match="a logit of the gate is 17.0"):
        gate_readings([torch.zeros(2, 1), torch.tensor([17.0])], torch.zeros(1, 2))
    assert names(load_plan("iid", {"clients": "11"}))[9:] == ["client09", "client10"]


@pytest.mark.parametrize("name", ["digits_dirichlet01", "digits_dirichlet03", "digits_iid"])
def test_shipped_tables_are_of_plans_that_ship_from_a_clean_commit(name: str) -> None:
    import yaml

    from edge_experts.envs.tables.reading import TABLES_DIR

    about = yaml.safe_load((TABLES_DIR / f"{name}.yaml").read_text("utf-8"))
    plan = load_plan(name.removeprefix("digits_"), {"reach": "all"})
    assert about["plan"] == plan.to_dict() and about["plan_hash"] == plan.hash()
    assert not about["commit"].endswith("-dirty")
    machines = ExpertTable.load("digits_experts")
    table = QualityTable.load(name, machines)
    assert len(table.prompts) == 400 and set(table.experts) == set(machines.experts)
    scenario = load_scenario("specialists-v1")
    assert scenario.experts == table.experts and scenario.requests.subtasks == plan.top_k


def test_experts_are_specialists_where_clients_differ() -> None:
    """What the best expert of each client's category is worth over the best of all: much at 0.1, nothing at IID."""
    machines, gains = ExpertTable.load("digits_experts"), []
    for name in ("digits_dirichlet01", "digits_dirichlet03", "digits_iid"):
        quality = QualityTable.load(name, machines)
        gains.append(quality.prior(quality.quality).max(axis=1).mean() - quality.quality.mean(axis=0).max())
    assert gains[0] > gains[1] + 0.1 and gains[1] > gains[2] + 0.1 and gains[2] < 0.05, gains
