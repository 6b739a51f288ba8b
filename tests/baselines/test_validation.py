"""`edge-experts validate` finds every fault that is planted, and none where there is none."""

from __future__ import annotations

import csv
import random
from importlib.resources import files
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo import ParallelEnv

from edge_experts.baselines.cli import main
from edge_experts.baselines.validation.interface import CHECKS
from edge_experts.baselines.validation.market import MARKET_CHECKS
from edge_experts.baselines.validation.runner import FAULT, OK, WARNING, run_checks, validate
from edge_experts.envs import EdgeEnv, MaskedMultiDiscrete, load_scenario


class Market(ParallelEnv):  # type: ignore[misc]
    """Two buyers and a seller, 12 steps; the faults below are planted into it."""

    metadata = {"name": "market-v0", "render_modes": ["ansi"]}

    def __init__(self) -> None:
        self.possible_agents = ["buyer_0", "buyer_1", "seller_0"]
        self.render_mode = None
        box = gymnasium.spaces.Box(-1.0, 20.0, (3,), np.float32)
        seen = gymnasium.spaces.Dict({"observation": box, "action_mask": gymnasium.spaces.MultiBinary(5)})
        self._spaces = dict.fromkeys(self.possible_agents, seen)
        self._actions = {agent: MaskedMultiDiscrete([3, 2]) for agent in self.possible_agents}
        self.agents: list[str] = []

    def observation_space(self, agent: str) -> Any:
        return self._spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self._actions[agent]

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.agents, self.t, self.stock = self.possible_agents.copy(), 0, 5.0 + self.rng.random()
        return self.seen(), {agent: {} for agent in self.agents}

    def seen(self) -> dict[str, Any]:
        mask = np.array([1, 1, int(self.t % 2 == 0), 1, 1], np.int8)
        values = {"seller_0": self.t, "buyer_0": self.t + 1, "buyer_1": self.t + 2}
        return {
            a: {
                "observation": np.array([self.stock, values[a], self.rng.random()], np.float32),
                "action_mask": mask.copy(),
            }
            for a in self.agents
        }

    def step(self, actions: Any) -> Any:
        acted = list(actions)
        self.t += 1
        for i, action in enumerate(actions.values()):
            self.stock += 0.1 * (i + 1) * float(action[0]) - 0.05 * float(action[1]) * (i + 1)
        self.stock = min(self.stock, 19.0)
        over = self.t == 12
        observations = self.seen()
        rewards = {agent: self.stock for agent in acted}
        infos: dict[str, Any] = {agent: {"payment": -1.0} for agent in acted if agent != "seller_0"}
        if "seller_0" in acted:
            infos["seller_0"] = {"revenue": float(len(infos))}
        if over:
            self.agents = []
        return observations, rewards, dict.fromkeys(acted, False), dict.fromkeys(acted, over), infos

    def render(self) -> str:
        return str(self.t)


def changed(part: int, change: Any) -> Any:
    """A step whose result is changed in one place."""

    def step(self: Any, actions: Any) -> Any:
        results = list(Market.step(self, actions))
        results[part] = change(self, results[part], actions)
        return tuple(results)

    return step


def new_space(self: Any, agent: str) -> Any:
    return gymnasium.spaces.MultiDiscrete([3, 2])


def stranger(self: Any, seed: Any = None, options: Any = None) -> Any:
    observations, infos = Market.reset(self, seed)
    self.agents.append("ghost_0")
    return observations, infos


def nobody(self: Any, seed: Any = None, options: Any = None) -> Any:
    Market.reset(self, seed)
    self.agents = []
    return {}, {}


def unseeded(self: Any, seed: Any = None, options: Any = None) -> Any:
    return Market.reset(self, int(np.random.SeedSequence().generate_state(1)[0]))


def one_seed(self: Any, seed: Any = None, options: Any = None) -> Any:
    return Market.reset(self, 7)


def remembering(self: Any, seed: Any = None, options: Any = None) -> Any:
    observations, infos = Market.reset(self, seed)
    self.games = getattr(self, "games", 0) + 1
    self.stock += 0.1 * self.games
    return self.seen(), infos


def global_noise(self: Any, actions: Any) -> Any:
    random.random()
    return Market.step(self, actions)


def endless(self: Any, actions: Any) -> Any:
    self.t = min(self.t, 5)
    return Market.step(self, actions)


def reused_buffer(self: Any) -> Any:
    if not hasattr(self, "buffer"):
        self.buffer = {a: np.zeros(3, np.float32) for a in self.possible_agents}
    seen = Market.seen(self)
    for agent, value in seen.items():
        self.buffer[agent][:] = value["observation"]
        value["observation"] = self.buffer[agent]
    return seen


def deaf(self: Any, actions: Any) -> Any:
    return Market.step(self, {agent: np.array([action[0], 0]) for agent, action in actions.items()})


def blind(self: Any) -> Any:
    seen = Market.seen(self)
    for value in seen.values():
        value["observation"] = np.ones(3, np.float32)
    return seen


def partly_blind(self: Any) -> Any:
    seen = Market.seen(self)
    for value in seen.values():
        value["observation"][2] = 0.25
    return seen


def mute(self: Any) -> Any:
    seen = Market.seen(self)
    for value in seen.values():
        value["action_mask"][3:] = 0
    return seen


def short_mask(self: Any) -> Any:
    return {a: {**value, "action_mask": np.ones(4, np.int8)} for a, value in Market.seen(self).items()}


def crash(self: Any, actions: Any) -> Any:
    if self.t == 6:
        raise ZeroDivisionError("division by zero")
    return Market.step(self, actions)


def stay(self: Any, actions: Any) -> Any:
    results = Market.step(self, actions)
    results[2]["buyer_0"] = self.t >= 4
    return results


def slip_away(self: Any, actions: Any) -> Any:
    results = Market.step(self, actions)
    if self.t == 4:
        self.agents.remove("buyer_0")
    return results


def timed_termination(self: Any, actions: Any) -> Any:
    observations, rewards, terminations, truncations, infos = Market.step(self, actions)
    return observations, rewards, truncations, terminations, infos


def handle(self: Any) -> None:
    Market.__init__(self)
    self.file = open(__file__)  # noqa: SIM115


# the check that must find it, and a part of what it must say
FAULTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "new spaces": ("agents", {"action_space": new_space}, FAULT, "new object at each call"),
    "a stranger": ("reset", {"reset": stranger}, FAULT, "ghost_0"),
    "nobody": ("reset", {"reset": nobody}, FAULT, "nobody is in `agents`"),
    "out of bounds": (
        "observations",
        {"step": changed(0, lambda s, o, a: {k: {**v, "observation": v["observation"] + 50} for k, v in o.items()})},
        FAULT,
        "the bounds are -1 and 20",
    ),
    "not finite": (
        "observations",
        {
            "step": changed(
                0, lambda s, o, a: {k: {**v, "observation": v["observation"] * np.nan} for k, v in o.items()}
            )
        },
        FAULT,
        "not finite",
    ),
    "wrong dtype": (
        "observations",
        {
            "step": changed(
                0, lambda s, o, a: {k: {**v, "observation": v["observation"].astype(float)} for k, v in o.items()}
            )
        },
        FAULT,
        "dtype float64, the space says float32",
    ),
    "no last observation": (
        "results",
        {"step": changed(0, lambda s, o, a: o if s.agents else {})},
        FAULT,
        "observations lack",
    ),
    "reward is nan": (
        "results",
        {"step": changed(1, lambda s, r, a: {**r, "buyer_0": float("nan")})},
        FAULT,
        "must be a finite number",
    ),
    "ended but stays": ("leaving", {"step": stay}, FAULT, "ended but stay in `agents`"),
    "slips away": ("leaving", {"step": slip_away}, FAULT, "without being terminated or truncated"),
    "no end": ("end", {"step": endless}, FAULT, "add a time limit"),
    "terminated by the clock": ("end", {"step": timed_termination}, FAULT, "should set truncations"),
    "ignores the seed": ("determinism", {"reset": unseeded}, FAULT, "draw all randomness from one generator"),
    "remembers": ("determinism", {"reset": remembering}, FAULT, "reset all state"),
    "one seed": ("seeds", {"reset": one_seed}, FAULT, "use the seed that reset(seed=...) is given"),
    "global generator": ("global randomness", {"step": global_noise}, FAULT, "keep a generator of your own"),
    "shared buffer": ("aliasing", {"seen": reused_buffer}, FAULT, "return copies"),
    "nothing legal": ("masks", {"seen": mute}, FAULT, "nothing is legal in part 1"),
    "short mask": ("masks", {"seen": short_mask}, FAULT, "has 4 entries"),
    "a part without effect": ("actions matter", {"step": deaf}, FAULT, "part 1 of"),
    "blind": ("observations vary", {"seen": blind}, FAULT, "never changes"),
    "a constant entry": ("observations vary", {"seen": partly_blind}, WARNING, "1 of 3 entries"),
    "money from nowhere": (
        "conservation",
        {"step": changed(4, lambda s, i, a: {**i, "seller_0": {"revenue": 5.0}})},
        FAULT,
        "what one pays another must get",
    ),
    "cannot be copied": ("copies", {"__init__": handle}, WARNING, "cannot be pickled"),
    "crashes": ("episode", {"step": crash}, FAULT, "ZeroDivisionError: division by zero"),
}


def verdicts(kind: type) -> dict[str, Any]:
    return {finding.check: finding for finding in run_checks(kind, CHECKS)}


def test_a_sound_environment_has_no_fault() -> None:
    found = verdicts(Market)
    assert [f for f in found.values() if f.verdict != OK] == [] and set(found) == set(CHECKS)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("context", "interface"):  # an episode of the market has 12 steps
        monkeypatch.setattr(f"edge_experts.baselines.validation.{module}.LONGEST", 200)
    check, members, verdict, text = FAULTS[fault]
    found = verdicts(type("Broken", (Market,), members))
    assert check in found, list(found.values())
    assert found[check].verdict == verdict and text in found[check].text, found[check]


def test_rewards_that_never_vary_are_found() -> None:
    class Flat(Market):
        def step(self, actions: Any) -> Any:
            results = Market.step(self, actions)
            return results[0], dict.fromkeys(results[1], 0.0), *results[2:]

    class Longer(Flat):
        def step(self, actions: Any) -> Any:
            self.laps = getattr(self, "laps", 0)
            if self.t == 11 and self.laps < 3:
                self.t, self.laps = 0, self.laps + 1
            results = Flat.step(self, actions)
            if not self.agents:
                self.laps = 0
            return results

    assert verdicts(Longer)["rewards vary"].verdict == FAULT


def test_gymnasium_environments_are_checked_too() -> None:
    found = {finding.check: finding for finding in validate("CartPole-v1")}
    assert all(finding.verdict != FAULT for finding in found.values()), found
    assert found["library API"].text == "gymnasium check_env"


@pytest.mark.parametrize("name", ["edge_experts/text-v1", "edge_experts/networked-heldout-partners-v1"])
def test_shipped_scenarios_are_sound(name: str) -> None:
    found = {finding.check: finding for finding in validate(name)}
    assert all(finding.verdict != FAULT for finding in found.values()), found
    assert "coordinated" in found["worth learning"].text and "credits changed hands" in found["conservation"].text


MARKETS = {
    "quality": (
        {"requests.rule": "{folder}/rules.py:three"},
        FAULT,
        "rules.py:three' gave a request the quality 3; it must stay within [0, 1]",
    ),
    "experts": (
        {"experts": ["gemma-7b-it", "phi-3-mini-128k"], "providers.count": 1, "providers.act": False},
        WARNING,
        "'phi-3-mini-128k' is never loaded: providers do not act, and at the start provider 0 holds other experts in "
        "its 18 GB, 'phi-3-mini-128k' needs",
    ),
    "observations vary": (
        {"devices.battery_j": 1e9, "radio.handover_s": 0.0},
        WARNING,
        "battery",
    ),
}


@pytest.mark.parametrize("check", MARKETS)
def test_what_is_wrong_with_a_market_is_found(check: str, tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(
        "def three(experts, n, quality, work, aspects, gate, coherence, temperature):\n    return 3.0\n"
    )
    changes, verdict, text = MARKETS[check]
    changes = {k: v.format(folder=tmp_path) if isinstance(v, str) else v for k, v in changes.items()}
    file = tmp_path / "cell.yaml"
    file.write_text(
        load_scenario("text-v1", {"devices.local_expert": "", "devices.local_budget_units": 0, **changes}).to_yaml()
    )
    checks = {check: (lambda subject: MARKET_CHECKS[check](str(file))) if check in MARKET_CHECKS else CHECKS[check]}
    (found,) = run_checks(lambda: EdgeEnv(str(file)), checks)
    assert found.verdict == verdict and text in found.text, found


def test_an_expert_that_is_always_late_is_found(tmp_path: Path) -> None:
    """By what it needs to compute, at the highest speed, against the longest deadline."""
    with files("edge_experts.envs.tables").joinpath("experts.csv").open(newline="", encoding="utf-8") as shipped:
        rows = list(csv.DictReader(shipped))
    for row in rows:
        row["seconds_per_unit"] = "950" if row["expert"] == "reka-flash" else row["seconds_per_unit"]
    with (tmp_path / "slow.csv").open("w", newline="", encoding="utf-8") as changed_:
        out = csv.DictWriter(changed_, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    scenario = load_scenario("text-v1", {"tables.experts": str(tmp_path / "slow.csv")})
    with pytest.raises(Warning, match="'reka-flash' misses the deadline of 100% of the prompts: it computes a part in"):
        MARKET_CHECKS["experts"](scenario)
    assert MARKET_CHECKS["experts"]("text-v1") == "8 can be loaded and be on time"


SHOWN = """

class Shown(Market):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.full((8, 8, 3), 20 * self.t, np.uint8)
"""


def test_films_of_any_environment(tmp_path: Path) -> None:
    (tmp_path / "shown.py").write_text(Path(__file__).read_text("utf-8") + SHOWN)
    for name in ("all.gif", "last.png"):
        assert main(["play", f"{tmp_path / 'shown.py'}:Shown", "--save", str(tmp_path / name)]) == 0
    import imageio.v3 as imageio

    assert imageio.imread(tmp_path / "all.gif").shape[0] == 13
    assert (imageio.imread(tmp_path / "last.png") == 240).all()


def test_the_command_says_what_it_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["validate", f"{__file__}:Market"]) == 0
    assert "0 faults" in capsys.readouterr().out
    file = tmp_path / "broken.py"
    file.write_text(Path(__file__).read_text() + "\n\nclass Broken(Market):\n    step = crash\n")
    assert main(["validate", f"{file}:Broken"]) == 1
    assert "fault    episode" in capsys.readouterr().out
    assert main(["validate", f"{file}:Brokn"]) == 2
    assert "did you mean 'Broken'" in capsys.readouterr().err
    assert main(["validate", f"{file}:handle"]) == 2
    assert "cannot be made" in capsys.readouterr().err
