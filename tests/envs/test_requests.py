"""What users ask for and how often providers decide: parts, tastes, ensembles in one slot, periods, recorded gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from building import parts_market
from scipy import stats

from edge_experts.envs import QualityTable, TableError, World
from edge_experts.envs.physics import rng as streams
from edge_experts.envs.sim.spec import OBS_FIELDS, slices
from edge_experts.envs.sim.state import ON_TIME, arrays

BUSY = {"arrivals.process": "saturated"}
QUIET = {**BUSY, "mobility.model": "static", "requests.context_spread": 0.0}
PARALLEL = {"requests.dispatch": "parallel"}


def started(name: str = "text-v1", n_worlds: int = 1, seed: int = 1, **overrides: Any) -> World:
    world = World(name, n_worlds, seed, overrides)
    world.reset()
    return world


@pytest.mark.parametrize("topic_share", [0.0, 0.5, 1.0])
def test_a_part_keeps_the_first_ones_category_as_often_as_stated(topic_share: float) -> None:
    world = started(n_worlds=1000, **BUSY, **{"requests.topic_share": topic_share})
    category = world.params.category[world.state.parts.prompt].reshape(-1, 3)
    shares = np.bincount(world.params.category) / len(world.params.category)
    expected = topic_share + (1 - topic_share) * (shares**2).sum()
    assert (category[:, 1:] == category[:, :1]).mean() == pytest.approx(expected, abs=0.01)
    for part in range(3):
        assert np.allclose(np.bincount(category[:, part], minlength=len(shares)) / len(category), shares, atol=0.015)
    prompts = np.bincount(world.state.parts.prompt[:, :, 2].ravel(), minlength=len(world.params.category))
    assert stats.chisquare(prompts).pvalue > 1e-3, "every prompt is as likely as any other"


def test_parts_have_prompts_of_their_own_or_share_one() -> None:
    own, shared = (started(n_worlds=50, **BUSY, **{"requests.parts": parts}) for parts in ("own", "shared"))
    assert (own.state.parts.prompt[..., 0] != own.state.parts.prompt[..., 1]).mean() > 0.9
    assert (shared.state.parts.prompt == shared.state.parts.prompt[..., :1]).all()
    assert not started("networked-v1").constants.own_parts and not started("object3d-v1").constants.own_parts
    assert started("video-v1").constants.own_parts and shared.sizes.own_parts is False
    assert slices("user", shared.sizes)["later"] == slice(5, 5), "there is nothing later to see"


def test_the_next_part_is_shown_and_read_when_it_comes_and_not_again() -> None:
    world = started(n_worlds=40, **BUSY)
    where, rng = slices("user", world.sizes), np.random.default_rng(0)
    G, served = len(world.params.priors), 0
    for _ in range(25):
        before, gate = world.state.users.copy(), world.state.gate.copy()
        world.step(*world.sample_actions(rng))
        users, parts = world.state.users, world.state.parts.prompt
        here = users.open
        rows = parts[here, users.done[here]]
        assert (users.prompt[here] == rows).all() and not users.unread[here].any()
        seen = world.views.users[here]
        assert (seen[:, where["category"]].argmax(axis=1) == world.params.category[rows]).all()
        later = np.zeros((here.sum(), G))
        for n, (prompts, done) in enumerate(zip(parts[here], users.done[here], strict=True)):
            np.add.at(later[n], world.params.category[prompts[done + 1 :]], 1 / 3)
        assert np.allclose(seen[:, where["later"]], later, atol=1e-6)
        same = before.open & here & ~users.arrived
        waited, moved = (same & (before.prompt == users.prompt)), same & (before.prompt != users.prompt)
        assert (world.state.gate[waited] == gate[waited]).all()
        assert (world.state.gate[moved][:, :8] != gate[moved][:, :8]).any(axis=1).all()
        served += moved.sum()
    assert served > 100


def test_a_composed_request_is_worth_what_each_part_was_recorded_at() -> None:
    world = started(n_worlds=16, **BUSY)
    rng, composed = np.random.default_rng(0), 0
    for _ in range(30):
        prompts = world.state.parts.prompt.copy()
        world.step(*world.sample_actions(rng))
        for b, u in zip(*np.nonzero(world.state.users.ended == ON_TIME), strict=True):
            experts = world.state.parts.expert[b, u]
            score = world.params.scores[prompts[b, u], experts]
            changes = (experts[1:] != experts[:-1]).sum()
            worth = np.average(score.quality, weights=score.work) * 0.98**changes
            assert world.state.users.quality[b, u] == pytest.approx(worth)
            assert (world.state.parts.quality[b, u] == score.quality).all()
            assert (world.state.parts.work[b, u] == score.work).all()
            composed += 1
    assert composed > 50


@pytest.mark.parametrize("shape", [0.02, 0.7, 5.0])
def test_gamma_numbers_have_their_distribution(shape: float) -> None:
    key = streams.stream(3, 1, 0, 0)
    draws = np.array([streams.log_gamma_variate(shape, key, streams.TASTE, i) for i in range(4000)])
    assert stats.kstest(draws, stats.loggamma(shape).cdf).pvalue > 1e-3
    others = np.array([streams.log_gamma_variate(shape, key, streams.TASTE, i + 1) for i in range(1000)])
    assert abs(np.corrcoef(draws[:1000], others)[0, 1]) < 0.1


@pytest.mark.parametrize("taste", [0.05, 1.0, 20.0])
def test_tastes_are_a_dirichlet_distribution_about_the_tables_mix(taste: float) -> None:
    world = started(n_worlds=500, **{"devices.taste": taste})
    mix = world.params.shares
    assert np.allclose(mix, np.bincount(world.params.category) / len(world.params.category))
    mine = world.state.taste.reshape(-1, len(mix))
    theirs = np.random.default_rng(0).dirichlet(taste * len(mix) * mix, len(mine))
    assert np.allclose(mine.sum(axis=1), 1.0)
    assert np.allclose(mine.mean(axis=0), mix, atol=0.02)
    assert np.allclose(mine.var(axis=0), mix * (1 - mix) / (taste * len(mix) + 1), rtol=0.08)
    for g in range(len(mix)):
        assert stats.ks_2samp(mine[:, g], theirs[:, g]).pvalue > 1e-3
    assert len(np.unique(mine[:, 0])) > 0.8 * len(mine), "everybody draws a mix of its own"


def test_with_tastes_of_their_own_users_ask_for_one_category_each() -> None:
    world = started("specialists-v1", n_worlds=4, **{"devices.count": 11})
    assert (world.state.taste == np.eye(8)[np.arange(11) % 8]).all()
    for _ in range(20):
        world.step()
        users = world.state.users
        assert (world.params.category[users.prompt] == np.arange(11) % 8)[users.open].all()
        assert (world.views.users[..., slices("user", world.sizes)["taste"]] == world.state.taste).all()


def test_without_tastes_everybody_has_the_tables_mix() -> None:
    world = started("mixed-v1", n_worlds=4)
    assert (world.state.taste == world.params.shares).all() and world.params.shares.sum() == pytest.approx(3.0)
    assert slices("user", world.sizes)["taste"].stop == slices("user", world.sizes)["taste"].start


@pytest.mark.parametrize("name", ["text-v1", "mixed-v1"])
def test_users_ask_by_their_taste_all_episode_long(name: str) -> None:
    world = started(name, n_worlds=200, **BUSY, **{"devices.taste": 0.1, "requests.deadline_slots": 1})
    taste, G = world.state.taste.copy(), len(world.params.priors)
    asked = np.zeros(taste.shape)
    for _ in range(20):
        fresh = world.state.users.open & (world.state.users.age == 0)
        np.add.at(asked, (*np.nonzero(fresh), world.params.category[world.state.users.prompt[fresh]]), 1.0)
        world.step()
        assert (world.state.taste == taste).all()
    # of requests of the first kind, whose categories come first
    mine = np.flatnonzero(np.isin(np.arange(G), world.params.category[world.params.kind == 0]))
    count, expected = asked[..., mine], taste[..., mine]
    total = count.sum(axis=-1, keepdims=True)
    assert total.sum() > 10_000
    assert np.corrcoef(count.ravel(), (total * expected).ravel())[0, 1] > 0.98
    assert (count[expected < 1e-6] == 0).all()
    where = slices("user", world.sizes)["taste"], slices("provider", world.sizes)["tastes"]
    assert np.allclose(world.views.users[..., where[0]], taste, atol=1e-6)
    assert np.allclose(world.views.providers[:, 0, where[1]], taste.mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("taste", [None, 0.001, 3.0])
def test_categories_of_which_no_prompt_is_in_use_are_never_drawn(taste: float | None) -> None:
    world = started(n_worlds=300, **BUSY, **{"tables.prompts": 2, "devices.taste": taste})
    assert np.isfinite(world.state.taste).all() and np.isfinite(world.views.users).all()
    assert set(np.unique(world.state.parts.prompt)) == {0, 1}
    missing = np.setdiff1d(np.arange(len(world.params.priors)), world.params.category)
    assert len(missing) and world.state.taste[..., missing].max() < 1e-100


# ensembles in one slot ----------------------------------------------------------------------------------------------


def asking(world: World, *experts: int, power: int = 3) -> np.ndarray:
    actions = world.default_actions("user")
    actions[:, 0] = [*experts, power]
    return actions


def answered(*experts: int, seed: int = 4, **overrides: Any) -> World:
    """A market of one user after the one slot in which it has asked these experts."""
    one = {**QUIET, **PARALLEL, "devices.count": 1, "radio.range_m": None, "requests.subtasks": 3}
    world = started("networked-v1", seed=seed, **{**one, "devices.at_home": False, **overrides})
    world.step(asking(world, *experts))
    return world


def test_an_ensemble_takes_as_long_as_its_slowest_answer_and_pays_for_all() -> None:
    none = answered(9, 9, 9)
    assert none.state.users.open[0, 0] and none.state.users.ended[0, 0] == 0 and not none.state.users.payment[0, 0]
    alone = [answered(e, 9, 9) for e in (1, 3, 6)]
    users, both = np.array([world.state.users[0, 0] for world in alone]), answered(1, 3, 6).state.users[0, 0]
    assert both.part_latency_s == pytest.approx(users["part_latency_s"].max()) == both.latency_s
    assert len(set(users["part_latency_s"])) == 3
    assert both.latency == pytest.approx(-0.02 * both.part_latency_s)
    assert both.payment == pytest.approx(users["payment"].sum()) and both.energy == pytest.approx(users["energy"].sum())
    assert both.ended == ON_TIME and both.placed == 6
    assert all(world.state.users.ended[0, 0] == ON_TIME for world in alone), "one answer is enough"


def test_an_ensemble_is_worth_its_answers_weighed_by_what_the_gate_had_said() -> None:
    world = started("networked-v1", seed=2, **{**QUIET, **PARALLEL, "devices.count": 1, "radio.range_m": None})
    gate, prompt = world.state.gate[0, 0].copy(), world.state.users.prompt[0, 0]
    world.step(asking(world, 2, 5))
    weights = np.exp(gate[[2, 5]] / world.scenario.requests.temperature)
    worth = np.average(world.params.scores.quality[prompt, [2, 5]], weights=weights)
    assert world.state.users.quality[0, 0] == pytest.approx(worth)
    assert world.state.users.earned[0, 0] == pytest.approx(world.state.users.value[0, 0] * worth) or (
        world.state.users.arrived[0, 0] and world.state.users.earned[0, 0] > 0
    )


def test_an_expert_named_twice_is_asked_once() -> None:
    once, twice = answered(2, 9, 9), answered(2, 2, 9)
    assert twice.state.asked[0, 0].tolist() == [2, -1, -1] and not twice.state.users.invalid[0, 0]
    for a, b in zip(arrays(once.state), arrays(twice.state), strict=True):
        assert a.tobytes() == b.tobytes()


def test_parts_to_one_host_share_its_band() -> None:
    host = {"providers.count": 4, "providers.memory_gb": 200.0, "providers.idle_power_w": 60.0}
    world = answered(1, 5, 2, **host)
    assert world.state.share[0, 0].tolist() == pytest.approx([0.5, 0.5, 1.0])
    assert world.state.providers.served[0].tolist() == [0, 2, 1, 0]


def test_masks_of_an_ensemble_offer_every_legal_expert_each_time() -> None:
    world = started("networked-v1", n_worlds=20, **BUSY, **PARALLEL, **{"devices.may_wait": False})
    X, H, J = world.sizes.X, world.sizes.H, 2
    assert world.views.user_masks.shape == (20, 8, J * (X + 1) + H)
    first, second = world.views.user_masks[..., : X + 1], world.views.user_masks[..., X + 1 : J * (X + 1)]
    assert (first[..., :X] == second[..., :X]).all() and (second[..., X] == 1).all()
    legal = first[..., :X].any(axis=-1)
    assert (first[..., X] == ~legal).all() and legal.all()
    actions, _ = world.sample_actions(np.random.default_rng(0))
    assert actions.shape == (20, 8, 3)
    world.step(actions, None)
    assert not world.state.users.invalid.any()
    world.step()
    assert world.state.users.invalid[world.state.users.open & ~world.state.users.arrived].all(), "waiting is forbidden"


CROWD = {"providers.count": 2, "providers.memory_gb": 90.0, "devices.at_home": False, "radio.range_m": None}


@pytest.mark.parametrize("overrides", [{}, CROWD, {**CROWD, "requests.subtasks": 4, "queue_limit_s": 3.0}])
def test_payments_of_ensembles_sum_to_zero_and_observations_stay_in_range(overrides: dict[str, Any]) -> None:
    world, rng = started("networked-v1", n_worlds=16, **BUSY, **PARALLEL, **overrides), np.random.default_rng(0)
    several = 0
    for _ in range(40):
        world.step(*world.sample_actions(rng))
        users, providers, asked = world.state.users, world.state.providers, world.state.asked
        assert np.allclose(users.payment.sum(axis=1) + providers.revenue.sum(axis=1), 0.0, atol=1e-12)
        private = users.earned + users.payment + users.energy + users.latency
        assert np.allclose(users.reward, private)
        assert ((asked >= 0).sum(axis=(1, 2)) >= providers.served.sum(axis=1)).all()
        done = users.ended == ON_TIME
        assert (asked[done] >= 0).any(axis=1).all()
        several += ((asked[done] >= 0).sum(axis=1) > 1).sum()
        for role, view in (("user", world.views.users), ("provider", world.views.providers)):
            for item in OBS_FIELDS[role]:
                field = view[..., slices(role, world.sizes)[item.name]]
                inside = (field >= item.low - 1e-6).all() and (field <= item.high + 1e-6).all()
                assert inside, (role, item.name, field.max())
    assert several > 50


@pytest.mark.parametrize(("experts", "message"), [((9, 0), "expert = 9"), ((0, 9), "expert_2 = 9"), ((-1, 0), "-1")])
def test_bad_actions_of_an_ensemble_name_the_part(experts: tuple[int, int], message: str) -> None:
    world = started("networked-v1", **PARALLEL, **{"devices.local_expert": ""})
    experts = tuple(e + (world.sizes.X - 8) * (e == 9) for e in experts)
    with pytest.raises(ValueError, match=message.replace("9", str(max(experts)))):
        world.step(asking(world, *experts))
    with pytest.raises(ValueError, match="shape"):
        world.step(np.zeros((1, 8, 2), int))


def test_gate_followers_ask_as_many_as_an_ensemble_takes() -> None:
    from edge_experts.envs.api.policy import GateFollowers

    scripted = started("networked-v1", n_worlds=4, seed=3, **BUSY, **PARALLEL, **{"devices.scripted": 7})
    told = started("networked-v1", n_worlds=4, seed=3, **BUSY, **PARALLEL)
    for _ in range(10):
        actions, _ = GateFollowers().act(told)
        scripted.step(np.where(np.arange(8)[:, None] > 0, 0, actions), None)
        told.step(actions, None)
        assert (scripted.state.asked == told.state.asked).all()
    assert (told.state.asked >= 0).all(axis=-1).any()


# periods ------------------------------------------------------------------------------------------------------------


def test_providers_decide_once_a_period_and_keep_what_is_in_force() -> None:
    world, rng = started(n_worlds=8, **{"providers.period": 3}), np.random.default_rng(0)
    until = slices("provider", world.sizes)["until_decision"]
    names = ("price", "speed", "bandwidth", "views", "power")
    changed = 0
    for slot in range(30):
        masks, before = world.views.provider_masks.copy(), world.state.providers.copy()
        assert np.allclose(world.views.providers[..., until], -slot % 3 / 3)
        _, wish = world.sample_actions(rng)
        if slot % 3:
            assert (masks.sum(axis=-1) == 6).all(), "one choice of each part of an action"
            assert [wish[..., 0].tolist(), wish[..., 3].max()] == [before.price.tolist(), 0]
        assert world.step(None, wish) is not None and not world.state.providers.invalid.any()
        for name, part in zip(names, (0, 1, 2, 4, 5), strict=True):
            now = world.state.providers[name]
            assert (now == (before[name] if slot % 3 else wish[..., part])).all()
            changed += (now != before[name]).sum()
    assert changed > 100


def test_another_wish_between_decisions_is_counted_and_not_fulfilled() -> None:
    world = started(**{"providers.period": 2})
    world.step()
    wish = world.default_actions("provider")
    wish[0, 0, 0], wish[0, 1, 3], wish[0, 2, 1] = 4, 1, 0
    world.step(None, wish)
    assert world.state.providers.invalid[0].tolist() == [True, True, True, False]
    assert (world.state.providers.price == 2).all() and (world.state.providers.loading == -1).all()
    world.step(None, wish)
    assert world.state.providers.price[0, 0] == 4 and world.state.providers.speed[0, 2] == 0


# tables with parts, a gate and features -------------------------------------------------------------------------------


def test_a_table_with_parts_says_which_part_a_row_may_be(tmp_path: Path) -> None:
    world = started(n_worlds=60, **BUSY, **parts_market(tmp_path), **{"requests.topic_share": 1.0})
    table = world.tables[0]
    rows = table.split("train")
    prompts, category = world.state.parts.prompt.reshape(-1, 2), world.params.category
    assert table.part is not None and world.constants.own_parts
    for part in range(2):
        assert (table.part[rows[prompts[:, part]]] == part).all()
    first, second = category[prompts].T
    assert (second[first > 0] == first[first > 0]).all(), "its category is kept"
    assert set(second[first == 0]) == {1, 2}, "where there is no such row, another one is drawn"


def test_a_recorded_gate_and_features_are_what_the_table_says(tmp_path: Path) -> None:
    market = {**BUSY, **parts_market(tmp_path), "queue_limit_s": 1e6}
    recorded, modelled = (started(n_worlds=30, **market, **{"gate.source": s}) for s in ("auto", "modelled"))
    rng = np.random.default_rng(0)
    for _ in range(6):
        rows = recorded.tables[0].split("train")[recorded.state.users.prompt]
        assert (recorded.state.gate[..., :3] == recorded.tables[0].dimensions["gate"][rows]).all()
        assert (recorded.state.users.context_bits == recorded.tables[0].feature_bits[rows]).all()
        actions, _ = recorded.sample_actions(rng)
        recorded.step(actions, None)
    rows = modelled.tables[0].split("train")[modelled.state.users.prompt]
    assert (modelled.state.gate[..., :3] != modelled.tables[0].dimensions["gate"][rows]).mean() > 0.9
    assert (recorded.state.users.done > 0).any()


def test_a_gate_may_be_partial_where_no_expert_in_use_lacks_it(tmp_path: Path) -> None:
    market = parts_market(tmp_path)
    file = Path(market["tables.quality"])
    lines = [line.split(",") for line in file.read_text().splitlines()]
    for cells in lines[1:]:
        if cells[2] == "gemma-2b-it":
            cells[8] = ""
    file.write_text("\n".join(",".join(cells) for cells in lines) + "\n")
    with pytest.raises(TableError, match="column 'gate'.*other experts were rated"):
        World("text-v1", overrides=market)
    file.with_suffix(".yaml").write_text("partial: [gate]\n")
    table = QualityTable.load(file)
    assert np.isnan(table.dimensions["gate"][:, 0]).all() and not np.isnan(table.dimensions["gate"][:, 1:]).any()
    with pytest.raises(ValueError, match="has no value for prompt 0 and expert 'gemma-2b-it'"):
        World("text-v1", overrides=market)
    World("text-v1", overrides={**market, "gate.source": "modelled"})
    others = {"experts": ["gemma-7b-it", "reka-core"], "devices.local_expert": "", "devices.local_budget_units": 0.0}
    world = started(**{**market, **others, **BUSY})
    assert np.isfinite(world.views.users).all()


def test_the_parts_of_a_prompt_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    table = QualityTable.load(parts_market(tmp_path)["tables.quality"])
    train, heldout = ({table.prompts[i] for i in table.split(name)} for name in ("train", "heldout"))
    assert len(train) == 16 and len(heldout) == 4 and not train & heldout
    assert len(table.split("train")) == 32 and sorted(table.part[table.split("heldout")]) == [0] * 4 + [1] * 4


HEAD = "prompt,category,expert,quality,output_bits,work_units,n_ratings,"
TABLE_FAULTS = {
    "half a part": ("part", ["1,a,reka-core,0.5,1,1,1,0.5"], "column 'part': value '0.5'.*not a whole number"),
    "negative part": ("part", ["1,a,reka-core,0.5,1,1,1,-1"], "row 2, column 'part': value '-1'"),
    "twice": ("part", ["1,a,reka-core,0.5,1,1,1,1"] * 2, "repeats row 2"),
    "features of an expert": (
        "feature_bits",
        ["1,a,reka-core,0.5,1,1,1,7", "1,a,reka-edge,0.5,1,1,1,8"],
        "row 3, column 'feature_bits'.*differs from 7|row 2, column 'feature_bits'.*differs from 8",
    ),
    "negative features": ("feature_bits", ["1,a,reka-core,0.5,1,1,1,-7"], "column 'feature_bits': value '-7'"),
    "gate off scale": ("gate", ["1,a,reka-core,0.5,1,1,1,1.2"], "column 'gate': value '1.2'"),
}


@pytest.mark.parametrize("fault", TABLE_FAULTS)
def test_faults_of_the_new_columns(fault: str, tmp_path: Path) -> None:
    column, rows, message = TABLE_FAULTS[fault]
    (tmp_path / "mine.csv").write_text("\n".join([HEAD + column, *rows]) + "\n")
    with pytest.raises(TableError, match=message) as error:
        QualityTable.load(tmp_path / "mine.csv")
    assert "\n" not in str(error.value)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "topic share": ({"requests.topic_share": 1.1}, "requests.topic_share: 1.1"),
    "negative topic share": ({"requests.topic_share": -0.1}, "requests.topic_share: -0.1"),
    "taste": ({"devices.taste": 0.0}, "devices.taste: 0"),
    "taste in words": (
        {"devices.taste": "mine"},
        "devices.taste: 'mine' .*give a concentration from 1e-09 to 1e.12, or own$",
    ),
    "period": ({"providers.period": 0}, "providers.period: 0"),
    "parts": ({"requests.parts": "many"}, "requests.parts: 'many'"),
    "dispatch": ({"requests.dispatch": "all"}, "requests.dispatch: 'all'"),
    "source": ({"gate.source": "guess"}, "gate.source: 'guess'"),
    "no gate": (
        {"gate.source": "recorded"},
        "gate.source: 'recorded' reads the column 'gate', which text.csv does not",
    ),
    "own ensemble": ({"requests.rule": "ensemble", "requests.parts": "own"}, "requests.parts: 'own' does not suit"),
    "parallel text": (PARALLEL, "requests.dispatch: 'parallel' asks k experts the same question"),
    "parallel one": (
        {**PARALLEL, "requests.rule": "ensemble", "requests.subtasks": 1},
        "requests.subtasks: 1 requests.dispatch = parallel asks k experts",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_one_line(case: str) -> None:
    overrides, message = BAD[case]
    with pytest.raises(ValueError, match=message) as error:
        World("text-v1", overrides=overrides)
    assert "\n" not in str(error.value)


BAD_PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "shared": ({"requests.parts": "shared"}, "requests.parts: 'shared' does not suit parts.csv"),
    "too few": ({"requests.subtasks": 1}, "requests.subtasks: 1 parts are counted 0 to 0.*holds 1: set it to 2"),
    "too many": ({"requests.subtasks": 3}, "requests.subtasks: 3 parts need rows each.*none for part 2"),
    "not in use": ({"tables.prompts": 1}, "none for part 1 among the prompts in use"),
}


@pytest.mark.parametrize("case", BAD_PARTS)
def test_a_table_with_parts_and_a_scenario_that_does_not_suit_it(case: str, tmp_path: Path) -> None:
    overrides, message = BAD_PARTS[case]
    with pytest.raises(ValueError, match=message) as error:
        World("text-v1", overrides={**parts_market(tmp_path), **overrides})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("market", ["parts", "mixed", "ensemble"])
def test_one_world_equals_the_same_world_among_many_with_all_of_it(market: str, tmp_path: Path) -> None:
    common = {"devices.taste": 0.3, "providers.period": 3, "requests.topic_share": 0.4, "episode.slots": 12, **BUSY}
    name, further = {
        "parts": ("text-v1", parts_market(tmp_path)),
        "mixed": ("mixed-v1", {}),
        "ensemble": ("networked-v1", {**PARALLEL, "requests.topic_share": 0.0}),
    }[market]
    overrides = {**common, "devices.churn": 0.05, **further}
    many, alone = World(name, 64, 7, overrides), World(name, 1, 7, overrides, first_world=41)
    many.reset(), alone.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        users, providers = many.sample_actions(rng)
        many.step(users, providers)
        alone.step(users[41:42], providers[41:42])
        for mine, other in ((alone.state, many.state), (alone.views, many.views)):
            for a, b in zip(arrays(mine), arrays(other), strict=True):
                assert a[0].tobytes() == b[41].tobytes()
    assert many.state.clock.episode.min() >= 1


@pytest.mark.parametrize("known", [False, True])
def test_users_know_the_length_of_an_answer_where_the_scenario_says_so(known: bool) -> None:
    world = started(**QUIET, **{"gate.length": known})
    prompt, E = world.state.users.prompt[0], world.sizes.E
    work = world.params.scores.work[prompt] if known else world.params.priors.work[world.params.category[prompt]]
    seconds = world.params.machines.seconds_per_unit / world.params.speed_levels[world.constants.default_speed]
    shown = world.views.users[0][:, slices("user", world.sizes)["compute"]]
    slots = (work * seconds / world.scenario.episode.slot_s)[:, :E]
    assert np.allclose(shown[:, :E], np.minimum(4.0, slots), rtol=1e-5)
