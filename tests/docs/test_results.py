"""What docs/ says was found is what was measured, of the scenarios and presets as they are now."""

from __future__ import annotations

import json
import re

from pages import ROOT, said

from edge_experts.baselines.bench.protocol import load_benchmark
from edge_experts.baselines.leaderboard.data import CONTROLS, MIXTURE, Leaderboard
from edge_experts.baselines.leaderboard.tables import mixture_table
from edge_experts.configs.train.common import budget
from edge_experts.envs import heldout_ids, load_scenario, shipped_ids

REFERENCES = json.loads((ROOT / "results" / "references.json").read_text("utf-8"))
WORTH = json.loads((ROOT / "results" / "worth.json").read_text("utf-8"))


def test_what_is_said_of_the_mixture_of_branches_is_what_was_measured(board: Leaderboard) -> None:
    """Its difference from the control, environment by environment, as it stands in the text."""
    lines = [line for line in mixture_table(board).split("\n") if "| MoE-PPO | dense PPO of equal size |" in line]
    found = {line.split(" | ")[0].strip("| "): re.findall(r"[+-][\d.]+", line.split(" | ")[4]) for line in lines}
    text = said("results.md")
    for env, (mean, low, high) in ((env, told) for env, told in found.items() if len(told) == 3):  # of several runs
        assert f"{float(mean):+.3f} [{float(low):+.3f}, {float(high):+.3f}] on `{env}`" in text


def test_what_is_said_of_the_worth_of_a_mixture_is_what_was_measured() -> None:
    text = said("results.md")
    for result in WORTH:
        name, split = result["env"].rpartition("/")[2], result["tables"]["train"]
        if name in ("text-v1", "video-v1"):
            assert f"{split['single']:.3f}" in text and f"{split['mixture']:.3f}" in text, name


def test_what_is_said_of_hearing_and_of_settings_is_what_was_measured() -> None:
    text = said("results.md")
    scores = {name.rpartition("/")[2]: REFERENCES[load_scenario(name).hash()]["normalised"] for name in shipped_ids()}
    for name, found in scores.items():
        assert name == "netmoe-v1" or found["priced"] <= found["coordinated"] - 0.1, name
    gain = {name: found["coordinated_steered"] - found["coordinated"] for name, found in scores.items()}
    assert f"{gain['mixed-v1']:.2f} on mixed and {gain['vehicles-v1']:.2f} on vehicles" in text
    assert gain["text-v1"] == 0.0


def test_results_are_of_the_scenarios_and_presets_as_they_are_now(board: Leaderboard) -> None:
    benchmark = load_benchmark()
    for env, by_name in board.cells.items():
        for name, runs in by_name.items():
            entry = benchmark.algorithms[name]
            for result in runs:
                assert result["provenance"]["scenario_hash"] == load_scenario(env).hash()
                assert (result["preset"], result["config"]) == (entry.preset, entry.config), name
                assert budget(env) <= result["env_steps"] < 1.05 * budget(env), name
                assert not result["provenance"]["commit"].endswith("-dirty")
                assert set(result["heldout"]) == set(heldout_ids(env))


def test_mixture_and_control_were_given_the_same_seeds(board: Leaderboard) -> None:
    assert len(board.cells) == len(shipped_ids()), "every scenario has a trained score"
    for by_name in board.cells.values():
        seeds = {name: [result["seed"] for result in by_name[name]] for name in by_name}
        compared = [seeds[name] for name in (MIXTURE, *CONTROLS) if name in by_name]
        assert len(seeds["ppo"]) >= 2 and all(set(others) <= set(seeds["ppo"]) for others in compared)
        assert all(others == compared[0] for others in compared)


def test_every_scenario_and_twin_has_floor_best_heuristic_and_reference() -> None:
    for name in (*shipped_ids(), *heldout_ids()):
        entry = REFERENCES[load_scenario(name).hash()]
        assert entry["env"] == name and entry["random"] < entry["best_heuristic"]["score"], name
        assert entry["random"] < entry["reference"] and entry["episodes"] >= 50
    assert len(REFERENCES) == len(shipped_ids()) + len(heldout_ids())


def test_nothing_that_was_measured_exceeds_the_reference(board: Leaderboard) -> None:
    """No heuristic on any scenario or twin, and no run of the leaderboard beyond its interval."""
    for entry in REFERENCES.values():
        assert max(entry["normalised"].values()) <= 1.0, entry["env"]
    for env in board.envs:
        for name in board.cells[env]:
            assert board.runs(env, name).mean() <= 1.0, (env, name)


def test_games_are_worth_learning_as_the_references_say() -> None:
    """Section by section what makes a market a game: no fixed choice, no selfish one, no single expert will do."""
    for name in shipped_ids():
        scores = REFERENCES[load_scenario(name).hash()]["normalised"]
        assert max(score for policy, score in scores.items() if policy.startswith("fixed:")) <= 0.5, name
        if name == "edge_experts/netmoe-v1":  # alone in its world, a user cannot herd
            assert scores["single"] <= scores["coordinated"] - 0.05
        else:
            assert scores["myopic"] <= scores["coordinated"] - 0.2, name
            assert max(scores["local"], scores["best_prior"]) < scores["coordinated"], name
        if name.rpartition("/")[2] in ("text-v1", "video-v1", "mixed-v1", "vehicles-v1", "compact-v1"):
            assert scores["single"] <= scores["coordinated"] - 0.1, name


def test_what_is_said_of_hearing_others_and_of_labels_is_what_was_measured(board: Leaderboard) -> None:
    text = " ".join(said("results.md").split())

    def mean(env: str, name: str) -> str:
        return f"{board.runs(f'edge_experts/{env}', name).mean():.3f}"

    text_alone, text_in_turn = mean("text-v1", "ppo"), mean("text-v1", "ppo_in_turn")
    assert f"on `text-v1` it has {text_in_turn} [" in text and f"by its own view has {text_alone}" in text
    assert f"{mean('text-v1', 'ppo_imitates')} [" in text and f"{mean('object3d-v1', 'ppo_imitates')} [" in text
    assert f"PPO from scratch ({text_alone} and {mean('object3d-v1', 'ppo')})" in text


def test_the_page_of_one_policy_says_what_was_measured() -> None:
    text = " ".join(said("one_policy.md").split())
    result = json.loads((ROOT / "results" / "transfer.json").read_text("utf-8"))
    policies, envs = result["policies"], result["envs"]
    general = policies["generalist"]["scores"]
    alone = {name: found for name, found in policies.items() if len(found["trained_on"]) == 1}
    special = {found["trained_on"][0]: found["scores"][found["trained_on"][0]] for found in alone.values()}
    assert set(special) == set(envs) == set(policies["generalist"]["trained_on"])
    near = [env for env in envs if general[env] >= special[env] - 0.03]
    assert len(near) == 7 and f"within {0.03} of the specialists in seven markets of eight" in text
    (far,) = set(envs) - set(near)
    assert f"{far.rpartition('/')[2]}, where it has {general[far]:.2f} against {special[far]:.2f}" in text
    away = [
        [score for env, score in found["scores"].items() if env not in found["trained_on"] and score is not None]
        for found in alone.values()
    ]
    means = [sum(scores) / len(scores) for scores in away if scores]
    assert f"{min(means):.2f} to {max(means):.2f} on average in markets that they never saw" in text
