"""Faults at random: kill, cut, corrupt and fill what training and playing need, and see that nothing is lost.

    python tests/faults.py --seconds 600 --seed 0

Every fault is drawn from the seed. Afterwards a run must go on to the iteration that it was asked for, its rows must be
without gaps, every checkpoint that can be read must be whole, and every refusal must be one line. Prints a summary;
exits with 1 if anything was lost or a traceback was shown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

BIN = Path(sys.executable).parent
ENV = "edge_experts/netmoe-v1"
SETTINGS = {
    "train_batch_size_per_learner": 256,
    "minibatch_size": 128,
    "num_epochs": 1,
    "num_envs_per_env_runner": 8,
    "num_env_runners": 0,
    "hidden": [16, 16],
}
Outcome = tuple[bool, str]


class Lab:
    """A run that goes on from fault to fault.

    Args:
        folder: Where it lives.
        rng: What the faults are drawn from.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.reached = folder, rng, 0
        self.tracebacks = 0

    @property
    def run(self) -> Path:
        """The training run's folder."""
        return self.folder / "job"

    def command(self, iterations: int) -> list[str]:
        """Go on to an iteration."""
        words = ["train", "--algo", "PPO", "--env", ENV, "--config", json.dumps(SETTINGS), "--seed", "1"]
        words += ["--stop", json.dumps({"training_iteration": iterations}), "--checkpoint-freq", "1", "--name", "job"]
        return [str(BIN / "rllib"), *words, "--local-dir", str(self.folder), *(["--resume"] if self.reached else [])]

    def train(self, iterations: int) -> Outcome:
        """Go on, undisturbed; whether it got there without a gap."""
        done = self._finish(subprocess.run(self.command(iterations), capture_output=True, text=True))
        if done.returncode:
            return False, f"exit {done.returncode}: {done.stderr[-300:]}"
        rows = [json.loads(line) for line in (self.run / "results.jsonl").read_text().splitlines()]
        self.reached = iterations
        if [row["training_iteration"] for row in rows] != list(range(1, iterations + 1)):
            return False, "rows are missing or come twice"
        return self.play(self.checkpoints()[-1])

    def play(self, checkpoint: Path) -> Outcome:
        """Play a checkpoint."""
        command = [str(BIN / "rllib"), "evaluate", str(checkpoint), "--episodes", "1"]
        done = self._finish(subprocess.run(command, capture_output=True, text=True))
        return done.returncode == 0, done.stderr[-300:]

    def checkpoints(self) -> list[Path]:
        """Of the run, the oldest first."""
        return sorted(self.run.glob("checkpoint_" + "[0-9]" * 6))

    def _finish(self, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        self.tracebacks += "Traceback" in done.stderr
        return done


def kill(lab: Lab) -> Outcome:
    """End a training at a random moment, as a power cut does."""
    child = subprocess.Popen(
        lab.command(lab.reached + 1000),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(lab.rng.uniform(4.0, 16.0))
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    last = lab.checkpoints()
    lab.reached = int(last[-1].name[-6:]) if last else 0
    if not last:
        shutil.rmtree(lab.run, ignore_errors=True)
    return lab.train(lab.reached + 1)


def cut(lab: Lab) -> Outcome:
    """Cut a file of the newest checkpoint, or the last row, short."""
    if lab.rng.random() < 0.3:
        rows = lab.run / "results.jsonl"
        content = rows.read_bytes()
        rows.write_bytes(content[: -lab.rng.randint(1, 60)])
    else:
        file = lab.rng.choice(sorted(path for path in lab.checkpoints()[-1].rglob("*") if path.is_file()))
        file.write_bytes(file.read_bytes()[: lab.rng.randrange(max(1, file.stat().st_size))])
    return lab.train(lab.reached + 1)


def corrupt(lab: Lab) -> Outcome:
    """Flip a bit of a checkpoint: playing it is refused in one line."""
    copy = lab.folder / "corrupt"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(lab.checkpoints()[-1], copy)
    file = lab.rng.choice(sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size))
    content = bytearray(file.read_bytes())
    content[lab.rng.randrange(len(content))] ^= 1 << lab.rng.randrange(8)
    file.write_bytes(content)
    command = [str(BIN / "edge-experts"), "evaluate", str(copy), "--env", ENV, "--episodes", "2"]
    done = lab._finish(subprocess.run(command, capture_output=True, text=True))
    lines = done.stderr.strip().splitlines()
    return done.returncode == 2 and len(lines) == 1, f"exit {done.returncode}: {done.stderr[-300:]}"


def lose(lab: Lab) -> Outcome:
    """Remove a file of the newest checkpoint."""
    lab.rng.choice(sorted(path for path in lab.checkpoints()[-1].rglob("*") if path.is_file())).unlink()
    return lab.train(lab.reached + 1)


def fill(lab: Lab) -> Outcome:
    """Train on a disk that is too small; where only root may make one, not."""
    disk = lab.folder / "disk"
    disk.mkdir(exist_ok=True)
    size = lab.rng.randint(300, 900)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        return True, "not root"
    try:
        small = Lab(disk, lab.rng)
        done = lab._finish(subprocess.run(small.command(60), capture_output=True, text=True))
        if done.returncode != 2 or "No space left" not in done.stderr:
            return False, f"exit {done.returncode}: {done.stderr[-300:]}"
        found = small.checkpoints()
        return small.play(found[-1]) if found else (True, "")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


FAULTS: list[Callable[[Lab], Outcome]] = [kill, cut, corrupt, lose, fill]


def main() -> int:
    """Fault after fault until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, counts, lost = random.Random(arguments.seed), Counter[str](), []
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory(prefix="edge-experts-faults-") as folder:
        lab = Lab(Path(folder), rng)
        ok, why = lab.train(2)
        if not ok:
            print(f"the run could not begin: {why}", file=sys.stderr)
            return 1
        with tqdm(total=arguments.seconds, unit="s", disable=None) as bar:
            while (left := end - time.monotonic()) > 0:
                fault = rng.choice(FAULTS)
                ok, why = fault(lab)
                counts[fault.__name__] += 1
                if not ok:
                    lost.append(f"{fault.__name__}: {' '.join(why.split())}")
                    tqdm.write(lost[-1], file=sys.stderr)
                bar.update(max(0.0, arguments.seconds - left - bar.n))
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    print(
        f"seed {arguments.seed}: {sum(counts.values())} faults ({told}); {len(lost)} lost, {lab.tracebacks} tracebacks"
    )
    return 1 if lost or lab.tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
