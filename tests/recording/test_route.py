"""The live twin: a policy routes the questions of a real client to scripted experts, and its log is played again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import CANARY
from scripted import Script, serving

from edge_experts.baselines.cli import main
from edge_experts.baselines.heuristics.policies import make_policy
from edge_experts.envs import World, load_scenario
from edge_experts.envs.api.policy import Actions, Policy
from edge_experts.envs.physics.economics import CREDITS_PER_USD
from edge_experts.recording.live.log import Header, Question, read_log

pytest.importorskip("starlette", reason="the extra `route` is not installed")
openai = pytest.importorskip("openai", reason="the OpenAI library is not installed")

from edge_experts.recording.live import server  # noqa: E402
from edge_experts.recording.live.market import HISTORY, MEMORY  # noqa: E402
from edge_experts.recording.live.route import make_router, prepare  # noqa: E402
from edge_experts.recording.live.server import listen, server_of  # noqa: E402

Make = Callable[[World], Policy]


def fixed(name: str) -> Make:
    return lambda world: make_policy(name, world)


class Live:
    """A plan at a scripted endpoint, beside a recording."""

    def __init__(self, folder: Path, recorded: Path, script: Script, port: int) -> None:
        self.script, self.folder, self.scenario = script, folder, recorded / "scenario.yaml"
        text = (recorded.parent / "plan.yaml").read_text()
        old = text.partition("127.0.0.1:")[2].partition("/")[0]
        self.plan, self.log = folder / "plan.yaml", folder / "route.jsonl"
        self.plan.write_text(text.replace(f":{old}/", f":{port}/"))

    @contextmanager
    def serving(self, make: Make, **options: Any) -> Iterator[Any]:
        """A client of the router."""
        listener = listen(0)
        router = make_router(prepare(self.plan, self.scenario), make, "test", self.log, **options)
        served = server_of(router)
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            yield openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20)
        finally:
            served.should_exit = True
            thread.join()
            listener.close()

    def read(self) -> tuple[Header, list[Question]]:
        return read_log(self.log)


@pytest.fixture
def live(tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("EDGE_KEY", CANARY)
    script = Script()
    with serving(script) as port:
        yield Live(tmp_path, recorded, script, port)


def ask(client: Any, number: int, model: str = "edge-experts", **more: Any) -> Any:
    messages = [{"role": "user", "content": f"task number {number}"}]
    return client.chat.completions.create(model=model, messages=messages, **more)


def test_questions_of_a_real_client_go_where_the_policy_says(live: Live) -> None:
    with live.serving(fixed("fixed:beta")) as client:
        assert [one.id for one in client.models.list()] == [
            "edge-experts", "edge-experts/letter", "edge-experts/story",
        ]  # fmt: skip
        whole = ask(client, 3, temperature=0.5)
        assert whole.choices[0].message.content.startswith("beta writes about task number 3.")
        pieces = list(ask(client, 4, stream=True))
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert text.startswith("beta writes about task number 4.") and len(pieces) > 5
        counted = list(ask(client, 5, "edge-experts/story", stream=True, stream_options={"include_usage": True}))
        assert counted[-1].usage.completion_tokens > 0 and not counted[-1].choices
    header, questions = live.read()
    assert header.experts == ("alpha", "beta") and header.policy == "test"
    assert [one.category for one in questions] == ["story", "letter", "story"]
    assert [one.category_from for one in questions] == ["gate", "gate", "model"]
    assert {one.expert for one in questions} == {"beta"} and {one.status for one in questions} == {"answered"}
    assert questions[0].words == len(whole.choices[0].message.content.split())
    assert questions[1].usd > 0 and 0 < questions[1].first_s <= questions[1].latency_s < 5
    sent = [body for body in live.script.seen if body["model"] == "beta"]
    assert sent[0]["temperature"] == 0.5 and sent[0]["max_tokens"] == 1024
    assert live.script.keys == {CANARY}
    text = live.log.read_text()
    assert CANARY not in text and "task number" not in text, "no keys and no texts"


class Watching:
    """Myopic, and what it saw."""

    def __init__(self, world: World) -> None:
        self._policy, self.seen = make_policy("myopic", world), []  # type: ignore[var-annotated]

    def act(self, world: World) -> Actions:
        self.seen.append((np.array(world.state.experts.backlog[0]), world.views.users[0].copy()))
        return self._policy.act(world)


def test_the_policy_sees_what_the_market_shows_of_live_queues(live: Live) -> None:
    made: list[Watching] = []

    def make(world: World) -> Policy:
        made.append(Watching(world))
        return made[-1]

    live.script.delay_s = 0.4
    with live.serving(make) as client:
        threads = [threading.Thread(target=ask, args=(client, i, "edge-experts/letter")) for i in (0, 2)]
        for thread in threads:
            thread.start()
            time.sleep(0.15)
        for thread in threads:
            thread.join()
        ask(client, 6, "edge-experts/letter")
    (_, first), (_, second), (backlog, _) = made[0].seen[1:]
    header, questions = live.read()
    world = World(load_scenario(live.scenario), seed=0)
    world.reset()
    assert first.shape == world.views.users[0].shape, "as the policy was trained"
    at = {name: slice(*ends) for name, ends in header.fields.items()}
    for seen, one in zip((first, second), questions, strict=False):
        mine = seen[one.user]
        assert mine.tolist() == pytest.approx(one.observation, abs=1e-6)
        assert mine[at["open"]] == 1 and mine[at["category"]].tolist() == [1, 0]
        assert mine[at["gate"]][:2] == pytest.approx([one.readings[name] for name in ("alpha", "beta")])  # type: ignore[index]
        assert mine[at["backlog"]] == pytest.approx(np.array(one.backlog_s) / world.scenario.queue_limit_s, abs=1e-5)
    assert not any(questions[0].backlog_s), "nobody was asked before"
    asked = header.experts.index(questions[0].expert)  # type: ignore[arg-type]
    assert questions[1].backlog_s[asked] > 0
    assert backlog.tolist() == [0.0, 0.0], "both are answered"
    words = HISTORY * world.params.priors.units[:, asked].mean()
    seconds = words * questions[0].seconds_per_word[asked]
    for one in questions[:2]:
        if one.expert == questions[0].expert:
            words, seconds = MEMORY * words + one.words, MEMORY * seconds + one.latency_s - one.queue_s
    assert questions[2].seconds_per_word[asked] == pytest.approx(seconds / words, rel=1e-3), "as measured"


class Waits:
    """Waits so often, then takes the first expert."""

    def __init__(self, times: int) -> None:
        self.left = times + 1  # it is asked once before anybody is

    def act(self, world: World) -> Actions:
        actions, self.left = world.default_actions("user"), self.left - 1
        actions[..., 0] = 0 if self.left < 0 else world.sizes.X
        return actions, None


@pytest.fixture
def quick(live: Live) -> Live:
    """A market with slots of a tenth of a second and a deadline of three."""
    text = live.scenario.read_text().replace("slot_s: 5.0", "slot_s: 0.1").replace("table.csv", "t.csv")
    text = "\n".join("  deadline_slots: 3" if "deadline_slots" in line else line for line in text.split("\n"))
    for old, new in (("table.csv", "t.csv"), ("experts.csv", "experts.csv")):
        (live.folder / new).write_bytes((live.scenario.parent / old).read_bytes())
    live.scenario = live.folder / "scenario.yaml"
    live.scenario.write_text(text)
    return live


def test_a_policy_that_waits_is_asked_again_until_the_deadline(quick: Live) -> None:
    with quick.serving(lambda world: Waits(2)) as client:
        began = time.perf_counter()
        ask(client, 1)
        assert time.perf_counter() - began > 0.2
    _, [waited] = quick.read()
    quick.log.unlink()
    with (
        quick.serving(lambda world: Waits(9)) as client,
        pytest.raises(openai.InternalServerError, match="before the deadline"),
    ):
        ask(client, 1)
    _, [expired] = quick.read()
    assert waited.waited_slots == 2 and waited.status == "answered"
    assert expired.status == "expired" and expired.expert is None and expired.waited_slots == 3


def test_what_fails_is_told_and_noted_and_the_expert_rests(quick: Live) -> None:
    bad = {"alpha": "500"}
    quick.script.faults = lambda number, body: bad.get(body["model"], "")
    with quick.serving(fixed("fixed:alpha,beta")) as client:
        with pytest.raises(openai.InternalServerError, match="experts.alpha: HTTP 500"):
            ask(client, 1)
        assert ask(client, 1).choices[0].message.content.startswith("beta")
        time.sleep(0.15)
        bad["alpha"] = "cut"
        with pytest.raises(openai.APIError, match="cut off"):
            list(ask(client, 1, stream=True))
        time.sleep(0.15)
        bad["alpha"] = "429"
        with pytest.raises(openai.RateLimitError):
            ask(client, 1)
        time.sleep(0.15)
        bad["alpha"] = "json"
        with pytest.raises(openai.InternalServerError, match="not in the form"):
            ask(client, 1)
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
            ask(client, 1, "gpt")
        with pytest.raises(openai.BadRequestError, match="max_tokens"):
            ask(client, 1, max_tokens=0)
    _, questions = quick.read()
    assert [one.http for one in questions] == [500, 200, 200, 429, 200]
    assert [one.status for one in questions] == ["failed", "answered", "failed", "failed", "failed"]


def test_who_goes_away_ends_the_answer(live: Live) -> None:
    live.script.word_s = 0.05
    with live.serving(fixed("fixed:alpha")) as client:
        stream = ask(client, 2, stream=True)
        next(iter(stream))
        stream.close()
    _, [left] = live.read()
    assert left.status == "left" and 0 < left.words < 10


def test_without_readings_the_policy_goes_by_the_means(live: Live) -> None:
    live.script.gate = lambda body: "no idea"
    with live.serving(fixed("fixed:beta")) as client:
        with pytest.raises(openai.InternalServerError, match="the gate named no category: say it as the model"):
            ask(client, 1)
        ask(client, 1, "edge-experts/story")
    header, [one] = live.read()
    world = World(load_scenario(live.scenario))
    start, end = header.fields["gate"]
    assert one.readings is None and one.question == 1
    assert one.observation[start:end] == pytest.approx(world.params.priors.gate[1], abs=1e-5)


def test_answers_whose_scores_do_not_come_are_noted_without(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CLOSING_S", 0.3)
    live.script.judge = lambda body: str(time.sleep(1.5) or 7)  # type: ignore[func-returns-value]
    with live.serving(fixed("fixed:alpha"), scores=True) as client:
        ask(client, 0)
    _, [one] = live.read()
    assert one.status == "answered" and one.words > 0 and one.quality is None


@pytest.fixture
def log(live: Live) -> Path:
    """A log of six questions, scored."""
    with live.serving(fixed("fixed:beta"), scores=True) as client:
        for i in range(6):
            ask(client, i)
    return live.log


def test_a_log_is_played_again_in_the_market(
    log: Path, live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["twin", str(log), "--json", str(tmp_path / "gap.json")]) == 0
    told = capsys.readouterr().out
    assert "| beta   | latency_s |" in told and "alpha" not in told and "6 questions answered." in told
    found = json.loads((tmp_path / "gap.json").read_text())
    gaps = {(gap["expert"], gap["measure"]): gap for gap in found["gaps"]}
    _, questions = live.read()
    assert {len(one.scores) for one in questions} == {2}
    world = World(load_scenario(live.scenario))
    beta = world.scenario.experts.index("beta")
    rows = [np.flatnonzero(world.params.category == ("letter", "story").index(one.category)) for one in questions]
    for measure, field in (("quality", "quality"), ("words", "units")):
        recorded = np.mean([world.params.scores[field][mine, beta].mean() for mine in rows])
        assert gaps["beta", measure]["simulated"] == pytest.approx(recorded, rel=0.05), "of prompts of the category"
        assert gaps["all", measure]["measured"] == pytest.approx(np.mean([getattr(q, measure) for q in questions]))
    billed = world.params.scores["billed"]
    price = np.mean([billed[mine, beta].mean() for mine in rows]) * world.params.machines.price[beta] / CREDITS_PER_USD
    assert gaps["beta", "usd"]["simulated"] == pytest.approx(price, rel=0.05), "as recorded"
    for gap in found["gaps"]:
        assert gap["gap"] == pytest.approx(gap["simulated"] - gap["measured"]) and gap["error"] >= 0
    assert gaps["beta", "latency_s"]["simulated"] > 0.1, "the market's way to the cloud"
    assert main(["twin", str(log), "--json", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_text() == (tmp_path / "gap.json").read_text()


def test_queues_of_the_log_are_those_of_the_market(log: Path, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines[1:]:
        line["placed_s"] = 1.0  # all at the same time: each waits for those before
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut off')
    from edge_experts.recording.live.twin import replay

    rows = replay(log).rows
    late = [row["simulated"]["latency_s"] for row in rows]
    world = World(load_scenario(live.scenario))
    took = world.params.scores.work[:, :2] * world.params.machines.seconds_per_unit[:2]
    assert np.diff(late).min() > -np.ptp(took), "but for what the answers themselves took"
    assert late[-1] - late[0] > took.min()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[:1], "holds no question that was answered"),
        (lambda lines: [], "is empty: it is not a log"),
        (lambda lines: [lines[0].replace('"version": 1', '"version": 2'), *lines[1:]], "line 1: version: 2 is not"),
        (lambda lines: [lines[0], lines[1].replace('"words"', '"wurds"')], "line 2: wurds: unknown field"),
        (lambda lines: [lines[0], lines[1].replace('"user": 0', '"user": NaN')], "line 2: NaN is not a finite"),
        (lambda lines: [lines[0].replace('"experts": "', '"experts": "0'), *lines[1:]], "is of another market than"),
        (lambda lines: [lines[0].replace("scenario.yaml", "gone.yaml"), *lines[1:]], "gone.yaml' is not there"),
        (lambda lines: [lines[0], lines[1].replace('"category": "letter"', '"category": "ode"')], "which its market"),
    ],
)
def test_a_log_that_is_none_is_told_in_one_line(
    change: Callable[[list[str]], list[str]], told: str, recorded: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lines = (one_log(recorded)).split("\n")
    (tmp_path / "log.jsonl").write_text("".join(f"{line}\n" for line in change(lines)))
    assert main(["twin", str(tmp_path / "log.jsonl")]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def one_log(recorded: Path) -> str:
    """A header and a question."""
    from edge_experts.recording.live.log import checksums

    file = recorded / "scenario.yaml"
    scenario = load_scenario(file)
    header = {
        "format": "edge-experts-route", "version": 1, "scenario": str(file), "checksums": checksums(file, scenario),
        "policy": "x", "experts": scenario.experts, "slot_s": 5.0, "fields": {}, "started_at": "2026-01-01T00:00:00",
    }  # fmt: skip
    question = {
        "question": 0, "user": 0, "arrived_s": 0.0, "placed_s": 0.1, "slot": 0, "category": "letter",
        "category_from": "gate", "readings": None, "gate_s": 0.1, "bits": 8, "waited_slots": 0, "observation": [],
        "action_mask": [], "action": [0, 0], "backlog_s": [], "seconds_per_word": [], "usd_per_word": [],
        "expert": "alpha", "status": "answered", "words": 3,
    }  # fmt: skip
    return f"{json.dumps(header)}\n{json.dumps(question)}"


def route(live: Live, *more: str) -> list[str]:
    return ["route", "--policy", "myopic", "--plan", str(live.plan), "--log", str(live.log), *more]


def no_key(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    patch.delenv("EDGE_KEY")
    return route(live, "--scenario", str(live.scenario))


def other_experts(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    live.plan.write_text(live.plan.read_text().replace("name: beta", "name: gamma"))
    return route(live, "--scenario", str(live.scenario))


def no_recording(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    (live.folder / "prompts.jsonl").write_bytes((live.scenario.parents[1] / "prompts.jsonl").read_bytes())
    return route(live)


def no_such_expert(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    return route(live, "--scenario", str(live.scenario), "--policy", "fixed:gamma")


def hindsight(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    return route(live, "--scenario", str(live.scenario), "--policy", "reference")


def log_is_there(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    live.log.write_text("mine")
    return route(live, "--scenario", str(live.scenario), "--port", "0")


def local_expert(live: Live, patch: pytest.MonkeyPatch) -> list[str]:
    for name in ("table.csv", "experts.csv"):
        (live.folder / name).write_bytes((live.scenario.parent / name).read_bytes())
    text = f"{live.scenario.read_text()}devices: {{local_expert: alpha, local_budget_units: 100}}\n"
    (live.folder / "scenario.yaml").write_text(text)
    return route(live, "--scenario", str(live.folder / "scenario.yaml"), "--port", "0")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (no_key, "gate.key_env: 'EDGE_KEY' is not set in the environment: export it"),
        (other_experts, "has the experts alpha, beta, the plan has alpha, gamma: take the scenario"),
        (no_recording, "beside the plan there is no recording of"),
        (no_such_expert, "policy: 'gamma' is not an expert of recorded/market-v0"),
        (hindsight, "--policy: 'reference' knows the future"),
        (log_is_there, "is there already: take another name"),
        (local_expert, "devices.local_expert: alpha has no endpoint"),
    ],
)
def test_bad_input_is_told_in_one_line(
    change: Callable[[Live, pytest.MonkeyPatch], list[str]],
    told: str,
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = change(live, monkeypatch)
    assert main(before) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1, error
    assert not live.script.seen and (not live.log.exists() or live.log.read_text() == "mine")


def test_a_port_in_use_is_told_in_one_line(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    with listen(0) as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(route(live, "--scenario", str(live.scenario), "--port", port)) == 2
    assert f"--port: {port} cannot be taken (Address already in use)" in capsys.readouterr().err
    assert not live.log.exists()


def test_the_market_of_a_plan_is_found_beside_it(live: Live, recorded: Path) -> None:
    assert prepare(recorded.parent / "plan.yaml").file == recorded / "scenario.yaml"


def test_a_page_in_a_browser_cannot_ask_under_its_own_name(live: Live) -> None:
    import httpx

    with live.serving(fixed("fixed:alpha")) as client:
        url = f"{client.base_url}models"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"host": "evil.example"}).status_code == 400
