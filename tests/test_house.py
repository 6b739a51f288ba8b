"""The house: what is installed can be found, by type checkers too, and packages import one way only."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import pytest
from building import packed

ROOT = Path(__file__).parents[1]
PACKAGES = ("envs", "agents", "recording", "federated", "baselines")
KNOWS = {"envs": (), "agents": ("envs",), "recording": ("envs",), "federated": ("envs",)}
KNOWS["baselines"] = ("envs", "agents", "recording", "federated", "configs")

USER = """
import edge_experts.envs as envs
from edge_experts.agents import MoEPPOConfig, set_up
from edge_experts.agents.networks.actor_critic import MixtureActor
from edge_experts.baselines import evaluate, make_policy
from edge_experts.envs import World

world = World("edge_experts/text-v1", n_worlds=2, seed=7)
config = set_up(MoEPPOConfig().training(branches=4))
views = world.step(*make_policy("myopic", world).act(world))
results = evaluate(["myopic"], "edge_experts/text-v1")
reveal_type(envs.make("edge_experts/text-v1"))
reveal_type(envs.make("mine.yaml"))
reveal_type(world.scenario.devices.count)
reveal_type(world.state)
reveal_type(views.users)
reveal_type(results)
reveal_type(world.fork([0, 0]))
"""


def pyright(script: str, folder: Path) -> dict[str, list[dict[str, object]]]:
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    report: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return report


def test_an_editable_install_resolves_in_pyright_and_tells_its_types(tmp_path: Path) -> None:
    found = pyright(USER, tmp_path)["generalDiagnostics"]
    assert not [one for one in found if one["severity"] != "information"], found
    told = [str(one["message"]).partition(" is ")[2] for one in found]
    assert told == [
        '"EdgeEnv"',
        '"Any"',
        '"int"',
        '"Worlds"',
        '"ndarray[tuple[Any, ...], dtype[floating[_32Bit]]]"',
        '"list[dict[str, Any]]"',
        '"World"',
    ]


def test_public_names_have_types(tmp_path: Path) -> None:
    """Of all modules, external types apart: `make completeness` says which are left."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "--verifytypes", "edge_experts", "--ignoreexternal"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},  # pyright looks for no py.typed behind a .pth file
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    assert report["completenessScore"] > 0.95
    left = {s["name"] for s in report["symbols"] if s["isExported"] and not s["isTypeKnown"]}
    assert not left & {f"edge_experts.envs.{name}" for name in ("World", "Views", "Scenario", "load_scenario")}


def test_ids_that_type_checkers_know_are_those_that_ship() -> None:
    from edge_experts.envs import registry, shipped_ids

    assert get_args(registry.Shipped) == tuple(shipped_ids())


def test_pyright_sees_what_is_not_there(tmp_path: Path) -> None:
    found = pyright("from edge_experts.envs import Wrld\nimport edge_experts.envz\n", tmp_path)["generalDiagnostics"]
    assert [one["severity"] for one in found] == ["error", "error"]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_there(package: str) -> None:
    """What `__init__.pyi` tells type checkers is what a user can import."""
    import importlib

    module = importlib.import_module(f"edge_experts.{package}")
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text())
    told = [alias.name for node in ast.walk(stub) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(told) > 5 and set(told) <= set(dir(module))
    for name in told:
        assert getattr(module, name) is not None


def imported(file: Path) -> set[str]:
    """Top packages of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("edge_experts.")}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_one_another_one_way(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        assert imported(file) <= set(KNOWS[package]), file
        assert (file.parent / "__init__.py").is_file(), f"{file.parent} is not a package, and not installed"


def test_folders_stay_rooms() -> None:
    for package in PACKAGES:
        for folder in {file.parent for file in (ROOT / package).rglob("*.py")}:
            assert len(list(folder.glob("*.py"))) <= 15, folder


def test_a_wheel_holds_what_the_folders_hold(tmp_path: Path) -> None:
    wheel, _ = packed(ROOT, tmp_path)
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in (*PACKAGES, "configs"):
        for file in (ROOT / package).rglob("*"):
            if file.suffix in (".py", ".pyi", ".yaml", ".csv", ".typed"):
                assert f"edge_experts/{file.relative_to(ROOT)}" in names
    assert "edge_experts/results/references.json" in names
    sources = {name for name in names if name.endswith(".py")}
    assert all((ROOT / "src" / name).is_file() for name in sources)
