"""What people look at: windows, films, and the dashboard in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_experts.agents.cli import main as rllib
from edge_experts.baselines.cli import main
from edge_experts.baselines.pages.dashboard import DashboardError, build_page, serve
from edge_experts.envs import EdgeEnv, shipped_ids

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHORT = {"episode.slots": 3}


@pytest.mark.parametrize("name", shipped_ids())
def test_every_scenario_can_be_drawn_and_written(name: str) -> None:
    for mode in ("rgb_array", "ansi"):
        env = EdgeEnv(name, SHORT, render_mode=mode)
        seen, _ = env.reset(seed=1)
        first = env.render()
        env.step({a: env.action_space(a).sample(seen[a]["action_mask"]) for a in env.agents})
        later = env.render()
        if mode == "ansi":
            assert first != later and all(expert in first for expert in env.scenario.experts)
        else:
            assert later.shape == (540, 960, 3) and later.dtype == np.uint8 and (first != later).any()


def test_a_window_shows_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    from edge_experts.envs.recording.render import draw

    pauses: list[float] = []
    monkeypatch.setattr(pyplot, "get_backend", lambda: "qtagg")
    monkeypatch.setattr(pyplot, "pause", pauses.append)
    env = EdgeEnv("text-v1", SHORT, render_mode="human")
    seen, _ = env.reset(seed=1)
    for slot in range(2):
        seen, *_ = env.step({a: env.action_space(a).sample(seen[a]["action_mask"]) for a in env.agents})
        assert len(pauses) == slot + 2 and np.array_equal(env._screen._image.get_array(), draw(env.world))
    assert env.render() is None
    env.close()
    assert not pyplot.get_fignums()


def test_without_a_display_a_window_is_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "get_backend", lambda: "agg")
    env = EdgeEnv("text-v1", SHORT, render_mode="human")
    env.reset(seed=1)
    assert "slot 0 of" in capsys.readouterr().out and env.render() is None
    env.close()


def test_films_show_every_slot(tmp_path: Path) -> None:
    import imageio.v3 as imageio

    file = tmp_path / "a.mp4"
    assert main(["play", "text-v1", "--slots", "4", "--save", str(file)]) == 0
    frames = imageio.imread(file, plugin="FFMPEG")
    assert frames.shape == (4, 540, 960, 3) and list(tmp_path.iterdir()) == [file]
    assert np.abs(frames[0].astype(float) - frames[3]).mean() > 0.1


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown") / "episode"
    assert main(["play", "text-v1", "--slots", "12", "--seed", "3", "--record", str(folder)]) == 0
    return folder


@pytest.fixture
def run(ray_here: Any, tmp_path: Path) -> Path:
    settings = {"num_envs_per_env_runner": 4, "train_batch_size_per_learner": 64, "minibatch_size": 32}
    command = ["train", "--algo", "MoEPPO", "--env", "edge_experts/text-v1", "--set", "episode.slots=10"]
    command += ["--num-env-runners", "0", "--config", json.dumps(settings), "--stop", '{"training_iteration": 2}']
    assert rllib([*command, "--local-dir", str(tmp_path), "--name", "shown"]) == 0
    return tmp_path / "shown"


def page_in_browser(file: Path) -> str:
    """The page's document after its scripts have run."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *arguments, file.as_uri()], capture_output=True, text=True, timeout=120)
    return done.stdout


def test_the_dashboard_of_an_episode_in_a_browser(episode: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["dashboard", str(episode), "--html", str(file)]) == 0
    dom = page_in_browser(file)
    for title in (
        "Reward by role",
        "Price level by provider",
        "Backlog by expert",
        "Parts placed on",
        "Quality of requests",
    ):
        assert title in dom
    assert dom.count('class="main-svg"') >= 6, "every figure was drawn"
    assert "gpt-3.5-turbo-0125" in dom and "http" not in file.read_text().split("</script>")[-1]


def test_the_dashboard_of_a_run_in_a_browser(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["dashboard", str(run), "--html", str(file)]) == 0
    dom = page_in_browser(file)
    for title in ("Return of all agents", "Return by policy", "Router load by branch", "Router entropy", "Price level"):
        assert title in dom
    assert dom.count('class="main-svg"') >= 9 and "branch_load_3" in dom


def test_the_dashboard_is_served_on_this_machine_only(episode: Path) -> None:
    page = build_page(episode)
    with serve(page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode() == page
        with pytest.raises(DashboardError, match=f"--port: {port} cannot be used"):
            serve(page, int(port))
        server.shutdown()


def broken(folder: Path, what: str) -> Any:
    folder.mkdir()
    if what == "rows":
        (folder / "results.jsonl").write_text("{")
    elif what == "empty":
        (folder / "results.jsonl").write_text("")
    elif what == "tables":
        (folder / "users.parquet").write_text("no parquet")
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing", "neither a run"),
        ("rows", "is torn, and left out"),
        ("empty", "holds no results yet"),
        ("tables", "cannot be read"),
        ("missing", "there is no folder"),
    ],
)
def test_folders_that_cannot_be_shown(
    what: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none" if what == "missing" else broken(tmp_path / "x", what)
    assert main(["dashboard", str(folder), "--html", str(tmp_path / "page.html")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "page.html").exists()
