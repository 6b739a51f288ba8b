"""Trained policies as a folder of tensors and JSON, which runs no code when it is read: exports, and the zoo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from edge_experts.envs import ScenarioError, World
from edge_experts.envs.api.spaces import role_spaces
from edge_experts.envs.io.atomic import replacing, write_text
from edge_experts.envs.io.suggestions import did_you_mean

from ..algorithms.mappo import CRITIC
from ..errors import CheckpointError
from ..markets import settings_of
from ..mixture.observation_layout import layout_of
from ..networks.actor_critic import MixtureActor, MixtureActorCritic
from ..networks.recurrent import RecurrentActorCritic
from ..policy_mapping import policy_of

WEIGHTS, ABOUT = "weights.safetensors", "policy.json"
VERSION = 1
ZOO = "zoo:"  # before the name of a shipped policy
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (MixtureActor, MixtureActorCritic, RecurrentActorCritic)}
FIELDS = {"version", "algo", "env", "env_config", "policies", "modules", "knows"}


def is_exported(folder: Path) -> bool:
    """Whether a folder holds what `export_policy` wrote."""
    return (folder / ABOUT).is_file() and (folder / WEIGHTS).is_file()


def export_policy(
    modules: Mapping[str, Any], description: Mapping[str, Any], folder: Path, notes: Mapping[str, Any]
) -> None:
    """Write trained policies as tensors and JSON.

    Args:
        modules: Networks by the policy, or the policy and market, that they play; a central critic is left out.
        description: Of the checkpoint, see `metadata.describe_checkpoint`.
        folder: Where to; made anew.
        notes: What else is to be said of them, as how they were trained.

    Raises:
        CheckpointError: if a network is of another kind than ours.
    """
    tensors: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, module in modules.items():
        module, policy = module.unwrapped(), policy_of(name)
        if name == CRITIC or policy in settings:  # of several markets all have the same weights
            continue
        if type(module).__name__ not in KINDS:
            raise CheckpointError(
                f"checkpoint: its '{name}' is a {type(module).__name__}; only networks of PPO and its kin are exported"
            )
        own = {key: value for key, value in module.model_config.items() if key != "layout"}
        settings[policy] = {"kind": type(module).__name__, "settings": own, "role": module.layout["role"]}
        tensors |= {f"{policy}.{key}": value.clone().contiguous() for key, value in module.state_dict().items()}
    about = {"version": VERSION, **description, **notes, "modules": settings}
    with replacing(folder) as part:
        part.mkdir()
        save_file(tensors, part / WEIGHTS)
        write_text(part / ABOUT, json.dumps(about, indent=1) + "\n")


def read_export(folder: Path) -> dict[str, Any]:
    """What an export says of itself.

    Raises:
        CheckpointError: if it is damaged, or of another version.
    """
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        missing = FIELDS - about.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"checkpoint: '{folder / ABOUT}' cannot be read: {error}") from None
    if missing:
        raise CheckpointError(f"checkpoint: '{folder / ABOUT}' lacks {', '.join(sorted(missing))}: export it again")
    if about["version"] != VERSION:
        raise CheckpointError(
            f"checkpoint: '{folder}' has version {about['version']}, this package reads {VERSION}: export it again"
        )
    return about  # type: ignore[no-any-return]


def load_modules(folder: Path) -> dict[str, Any]:
    """The networks of an export, by policy, on the market that they were trained on.

    Raises:
        CheckpointError: if tensors are missing or of another form.
    """
    about = read_export(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
        world = World(about["env"], overrides=settings_of(about["env"], about["env_config"])["overrides"])
    except (OSError, SafetensorError, ScenarioError) as error:
        raise CheckpointError(f"checkpoint: '{folder}' cannot be read: {error}") from None
    modules = {}
    for policy, said in about["modules"].items():
        kind, role = KINDS.get(said["kind"]), said["role"]
        if kind is None:
            raise CheckpointError(f"checkpoint: '{folder}': modules.{policy}.kind: {said['kind']!r} is not known here")
        spaces = role_spaces(role, world.sizes)
        settings = {**said["settings"], "layout": layout_of(role, world)}
        module = kind(observation_space=spaces.observation, action_space=spaces.action, model_config=settings)
        own = {key.partition(".")[2]: value for key, value in tensors.items() if key.partition(".")[0] == policy}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise CheckpointError(
                f"checkpoint: '{folder / WEIGHTS}' is damaged: {str(error).splitlines()[0]}"
            ) from None
        modules[policy] = module.eval()
    return modules


def check_fits(folder: Path, config: Any) -> None:
    """See that a run can begin from an export.

    Raises:
        CheckpointError: naming the setting in which they differ, both values and the fix.
    """
    about = read_export(folder)
    included: Mapping[str, Any] = config._model_config_auto_includes
    for policy, said in about["modules"].items():
        for name, value in said["settings"].items():
            mine = included.get(name)
            mine = list(mine) if isinstance(mine, tuple) else mine
            if name in included and mine != value:
                raise CheckpointError(
                    f"--restore: '{folder.name}' has {name} = {json.dumps(value)} in its '{policy}', the run "
                    f"{json.dumps(mine)}: add --config '{json.dumps({name: value})}'"
                )


def begin_from(algorithm: Any, folder: Path) -> None:
    """Put the weights of an export into an algorithm that has just been built.

    Raises:
        CheckpointError: if it has none for one of the policies.
    """
    exported = load_modules(folder)
    states = {}
    for name in algorithm.config.policies:
        if name == CRITIC:
            continue
        policy = policy_of(name)
        found = exported.get(policy) or exported.get(policy.rpartition("_")[0])  # of a role, for each of its agents
        if found is None:
            raise CheckpointError(f"--restore: '{folder.name}' has no policy '{policy}'; it has {', '.join(exported)}")
        states[name] = found.state_dict()
    algorithm.learner_group.set_state({COMPONENT_LEARNER: {COMPONENT_RL_MODULE: states}})
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, policies=list(states), inference_only=False
    )


def zoo() -> dict[str, Path]:
    """The shipped policies: folders by name."""
    root = Path(str(resources.files("edge_experts.results") / "zoo"))
    return {folder.name: folder for folder in sorted(root.iterdir()) if is_exported(folder)} if root.is_dir() else {}


def located(given: str | Path) -> Path:
    """The folder of a checkpoint, an export, or `zoo:NAME`.

    Raises:
        CheckpointError: if there is no policy of that name in the zoo, with the nearest one.
    """
    text = str(given)
    if not text.startswith(ZOO):
        return Path(given)
    name, known = text.removeprefix(ZOO), zoo()
    if name not in known:
        raise CheckpointError(f"{text}: is not in the zoo; {did_you_mean(name, known, 'see: edge-experts zoo')}")
    return known[name]
