"""What a table says that an answer took and cost is what a host computes and bills."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from edge_experts.baselines.heuristics.policies import make_policy
from edge_experts.envs import World, load_scenario
from edge_experts.envs.physics.economics import CREDITS_PER_USD
from edge_experts.envs.sim.spec import slices
from edge_experts.envs.tables.reading import TABLES_DIR

EXPERTS = ["gemma-7b-it", "reka-flash"]
CHANGES = {"experts": EXPERTS, "devices.count": 2, "devices.local_expert": "gemma-7b-it", "providers.count": 2}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """The same market by the experts' means, and by what every row took and cost."""
    folder = tmp_path_factory.mktemp("tables")
    with open(TABLES_DIR / "text.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["expert"] in EXPERTS][:600]
    for name, extra in (("plain", False), ("timed", True)):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0], *(["seconds", "usd"] if extra else [])])
            writer.writeheader()
            for i, row in enumerate(rows):
                writer.writerow({**row, **({"seconds": 1.0 + 0.01 * i, "usd": 0.001 + 1e-5 * i} if extra else {})})
        (folder / f"{name}.yaml").write_text("modality: text\n")
    made = [
        World(
            load_scenario("edge_experts/text-v1", {**CHANGES, "tables.quality": str(folder / f"{name}.csv")}), 8, seed=3
        )
        for name in ("plain", "timed")
    ]
    return made[0], made[1]


def test_units_stay_and_a_device_is_another_machine(worlds: tuple[World, World]) -> None:
    plain, timed = worlds
    assert (plain.params.scores.work == plain.params.scores.units).all()
    assert (plain.params.scores.billed == plain.params.scores.units).all()
    assert (timed.params.scores.units == plain.params.scores.units).all()
    here = timed.sizes.E  # the local expert, whose recorded seconds are those of a host
    assert (timed.params.scores.work[:, here] == timed.params.scores.units[:, here]).all()
    assert (timed.params.scores.work[:, :here] != timed.params.scores.units[:, :here]).any()


def test_a_host_computes_and_bills_what_was_recorded(worlds: tuple[World, World]) -> None:
    _, world = worlds
    E, parts = world.sizes.E, world.scenario.requests.subtasks
    (table,), machines = world.tables, world.params.machines
    rows = table.split("train")
    order = [table.experts.index(name) for name in EXPERTS]
    seconds, usd = (table.measured[name][rows][:, order] / parts for name in ("seconds", "usd"))
    np.testing.assert_allclose(world.params.scores.work[:, :E] * machines.seconds_per_unit[:E], seconds)
    np.testing.assert_allclose(world.params.scores.billed[:, :E] * machines.price[:E], usd * CREDITS_PER_USD)
    paid = 0
    world.reset(seed=3)
    policy = make_policy("shortest_queue", world)
    for _ in range(6):
        prompt = world.state.users.prompt.copy()
        users, _ = policy.act(world)
        world.step(users, None)  # hosts keep the list price and nominal speed
        placed, payment = world.state.users.placed, world.state.users.payment
        for b, u in np.argwhere((placed >= 0) & (placed < E)):
            assert payment[b, u] == pytest.approx(-usd[prompt[b, u], placed[b, u]] * CREDITS_PER_USD)
            paid += 1
    assert paid > 5


def test_what_devices_see_is_what_they_are_billed(worlds: tuple[World, World]) -> None:
    _, world = worlds
    at = slices("user", world.sizes)
    world.reset(seed=3)
    for _ in range(4):
        world.step(None, None)  # users wait, so that requests stand open
    asking = world.state.users.open
    category = world.params.category[world.state.users.prompt[asking]]
    shown = world.views.users[asking]
    billed, work = world.params.priors.billed[category, :2], world.params.priors.work[category, :2]
    quote = world.params.machines.price[:2] * 3 / 8.0  # at the list price: three parts, a value of 8 at most
    compute = world.params.machines.seconds_per_unit[:2] / world.scenario.episode.slot_s
    assert asking.sum() > 3
    np.testing.assert_allclose(shown[:, at["quote"]], np.clip(billed * quote, 0, 4), rtol=1e-5)
    np.testing.assert_allclose(shown[:, at["compute"]][:, :2], np.clip(work * compute, 0, 4), rtol=1e-5)
