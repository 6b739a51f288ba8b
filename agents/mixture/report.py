"""How a trained mixture routes: play its policy, look at its router, draw what was seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_experts.envs import Scenario, World
from edge_experts.envs.api.policy import Actions, play_episodes
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.io.atomic import write_text
from edge_experts.envs.seeds import ROUTERS
from edge_experts.envs.sim.spec import ROLES

from ..checkpoints.policy import CheckpointPolicy
from ..networks.actor_critic import ROUTING, TRUNK
from ..plotting import new_figure, save_figure
from ..sampling.rollout_buffer import Group
from .metrics import Specialisation, heat_map

WORLDS = 16
REPORT, PICTURE = "router.json", "router.png"


def diagnose(policy: CheckpointPolicy, scenario: Scenario) -> dict[str, Any]:
    """Play an episode in each of some worlds and report, by module, how its mixture routed what it saw.

    See `metrics.Specialisation.report` for what is in a report.
    """
    world = World(scenario, WORLDS, ROUTERS.key(0))
    routed = [(g, m) for g in policy.groups(world) if _has_router(m := policy.module_of(g, world))]
    if not routed:
        return {}
    watched = _Watched(policy, routed)
    for running in play_episodes(world, watched):
        watched.keep(running)
    return {name: gathered.report() for name, gathered in watched.found.items()}


class _Watched:
    """A checkpoint's policy whose routers are looked at in every slot."""

    def __init__(self, policy: CheckpointPolicy, routed: list[tuple[Group, Any]]) -> None:
        self._policy, self._routed = policy, routed
        self._slot: list[tuple[Group, Any, dict[str, Any], Any, Any]] = []
        self.found = {
            title(group.module, where): Specialisation(module.layout)
            for group, module in routed
            for where in module.routers
        }

    def act(self, world: World) -> Actions:
        """The policy's actions; what its routers see is kept until `keep`."""
        batches = [
            self._policy.batch(group, module, role_spaces(group.role, world.sizes), world)
            for group, module in self._routed
        ]
        actions = self._policy.act(world)
        played = dict(zip(ROLES, actions, strict=True))
        self._slot = [
            (g, m, batch, np.asarray(played[g.role])[:, g.agents], world.present(g.role)[:, g.agents])
            for (g, m), batch in zip(self._routed, batches, strict=True)
        ]
        return actions

    def keep(self, running: Any) -> None:
        """Count the slot's rows of the agents that were there, in the worlds that were still in their episode: (B,)."""
        for group, module, batch, played, there in self._slot:
            rows = torch.from_numpy((there & running[:, None]).reshape(-1))
            with torch.inference_mode():
                routed = module.forward_train(batch)[ROUTING]
            actions = torch.from_numpy(np.ascontiguousarray(played)).reshape(len(rows), -1)
            for where, routing in routed.items():
                self.found[title(group.module, where)].note(
                    routing.of(rows), batch["obs"]["observation"][rows], actions[rows]
                )


def title(module: str, where: str) -> str:
    """A router in the report: its module, and where its branches sit if not in the trunk."""
    return module if where == TRUNK else f"{module}_{where}"


def _has_router(module: Any) -> bool:
    return bool(getattr(module, "routers", None)) and module.layout is not None


def draw_router(report: dict[str, Any], path: Path, title: str) -> bool:
    """Draw which branch gets what as a heat map.

    Args:
        report: Of one module.
        path: PNG file to write.
        title: Of the picture.

    Returns:
        Whether there was anything to draw and matplotlib is installed.
    """
    names, shares = heat_map(report)
    if not names:
        return False
    try:
        figure = new_figure(5.0 + 0.7 * shares.shape[1], 1.4 + 0.24 * len(names), dpi=110)
    except ImportError:
        return False
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
    axes.set(
        yticks=range(len(names)),
        yticklabels=names,
        xticks=range(shares.shape[1]),
        xlabel="branch",
        title=f"{title}\nentropy of the router {report['router_entropy_nats']:.2f} nats",
    )
    axes.tick_params(axis="y", labelsize=7)
    figure.colorbar(image, ax=axes, label="share of a row's inputs")
    save_figure(figure, path)
    return True


def report_routers(checkpoint: Path, scenario: Scenario, folder: Path) -> dict[str, Path]:
    """Write what the mixtures of a checkpoint do into a folder, as JSON and as pictures; nothing if it has none.

    Returns:
        The pictures, by module; none without matplotlib.
    """
    policy = CheckpointPolicy(checkpoint)
    reports = diagnose(policy, scenario)
    if not reports:
        return {}
    write_text(folder / REPORT, json.dumps(reports, indent=1) + "\n")
    files = {module: folder / PICTURE.replace(".png", f"_{module}.png") for module in reports}
    return {
        module: file
        for module, file in files.items()
        if draw_router(reports[module], file, f"{module} of {scenario.id}")
    }
