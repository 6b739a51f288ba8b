"""What is installed can be used, uninstalled, and installed anew, by several virtual environments of one user."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from building import packed

ROOT = Path(__file__).parents[1]
KERNEL = """
import edge_experts.envs, numpy as np
from edge_experts.envs.physics.jit import bind
from edge_experts.envs.sim.kernel.step import first_wrong
actions, limits = np.array([[[2, 3], [0, 4]]]), np.array([3, 4])
assert bind(first_wrong, actions, limits)(actions, limits) == 3
print(edge_experts.envs.__file__, sum(first_wrong.stats.cache_misses.values()))
"""


class Environment:
    """A virtual environment that also sees what is installed beside the tests, but not this package."""

    def __init__(self, folder: Path, cache: Path) -> None:
        venv.create(folder)
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/*/site-packages")
        others = [path for path in site.getsitepackages() if Path(path).is_dir()]
        (self.packages / "others.pth").write_text("\n".join(others))
        self.variables = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
        self.variables.pop("PYTHONPATH", None)

    def pip(self, *words: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "--quiet", *words]
        subprocess.run(command, check=True, capture_output=True)

    def play(self) -> tuple[Path, int]:
        """Where the package was found, and how many functions had to be compiled."""
        command = [str(self.python), "-c", KERNEL]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=self.variables, cwd="/")
        where, compiled = done.stdout.split()
        return Path(where), int(compiled)


@pytest.mark.skipif(sys.platform == "win32", reason="paths of a virtual environment on POSIX")
def test_wheel_then_uninstall_then_editable_in_two_environments(tmp_path: Path) -> None:
    """Nothing is left in the package's folder to hide the next installation, and code is compiled once a user."""
    wheel, copy = packed(ROOT, tmp_path)
    one, two = (Environment(tmp_path / name, tmp_path / "cache") for name in ("one", "two"))
    one.pip("install", "--no-deps", "--force-reinstall", str(wheel))
    assert one.play() == (one.packages / "edge_experts" / "envs" / "__init__.py", 1)
    assert one.play()[1] == 0
    one.pip("uninstall", "--yes", "edge-experts")
    assert not (one.packages / "edge_experts").exists()
    one.pip("install", "--no-deps", "--no-build-isolation", "--editable", str(copy))
    assert one.play() == (copy / "src" / "edge_experts" / "envs" / "__init__.py", 0)
    two.pip("install", "--no-deps", "--force-reinstall", str(wheel))
    assert two.play() == (two.packages / "edge_experts" / "envs" / "__init__.py", 0)
