"""What a notebook shows of scenarios, worlds and views is short, true, and HTML."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from edge_experts.envs import World, load_scenario


class Cells(HTMLParser):
    """The text of a table's cells, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_scenarios_show_who_is_in_them() -> None:
    scenario = load_scenario("text-v1", {"devices.count": 5, "title": "a <b> & c"})
    assert repr(scenario) == "Scenario('edge_experts/text-v1': 5 users, 4 providers, 8 experts, 100 slots of 5 s)"
    text = scenario._repr_html_()
    facts = dict(Cells(text).rows)
    assert facts["users"] == "5" and scenario.experts[3] in facts["experts"] and len(text) < 1500
    assert "a &lt;b&gt; &amp; c" in text


def test_worlds_show_their_queues_and_prices() -> None:
    world = World("text-v1", n_worlds=3, seed=7)
    assert repr(world) == "World('edge_experts/text-v1', n_worlds=3, seed=7: slot 0 of 100)"
    rng = np.random.default_rng(0)
    for _ in range(6):
        world.step(*world.sample_actions(rng))
    world.state.clock.slot[2] = 9
    machines, e = world.params.machines, 2
    world.state.experts.backlog[0, e] = 35.0
    head, *rows = Cells(world._repr_html_()).rows
    assert "slot 6 to 9 of 100" in repr(world) and [row[0] for row in rows] == list(world.scenario.experts)
    assert float(rows[e][3]) == round(float(world.state.experts.backlog[0, e] * machines.seconds_per_unit[e]), 2)
    level = world.state.providers.price[0, world.hosts[e]]
    assert rows[e][1] == f"provider_{world.hosts[e]}"
    assert np.isclose(float(rows[e][4]), machines.price[e] * world.params.price_levels[level], rtol=1e-3)


def test_views_show_their_shapes() -> None:
    views = World("text-v1", n_worlds=2).views
    assert repr(views).startswith("Views(users (2, 16, 73), user_masks (2, 16, ")
    _, *rows = Cells(views._repr_html_()).rows
    assert rows[0][:3] == ["users", "(2, 16, 73)", "float32"] and [row[0] for row in rows] == list(views._fields)
