"""A plan: which models answer, fuse and judge which prompts, read from strict YAML."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from edge_experts.envs.io.strict_yaml import explain, read_yaml
from edge_experts.envs.io.suggestions import did_you_mean
from edge_experts.envs.schema import Count, Index, NonNegative, Positive, strict

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
TOKENS = {"gate": 1024, "expert": 1024, "fuser": 2048, "judge": 8}
"""The longest reply of each role, tokens, where an endpoint does not say `max_tokens`."""


class PlanError(ValueError):
    """A plan is not valid. Names the field, the value and the fix."""


@strict
class Endpoint:
    """A model behind an OpenAI-compatible interface."""

    base_url: str
    """Up to `/v1`; HTTPS, unless it is this machine."""
    model: str
    """Its name there."""
    key_env: str = ""
    """The environment variable that holds the key; empty: none is needed."""
    usd_in: NonNegative = 0.0
    """Dollars a million tokens that it reads."""
    usd_out: NonNegative = 0.0
    """Dollars a million tokens that it writes."""
    rpm: Positive | None = None
    """Requests a minute; null: no limit."""
    tpm: Positive | None = None
    """Tokens a minute, read and written; null: no limit."""
    parallel: Count = 8
    """Calls in flight."""
    temperature: NonNegative | None = None
    """Null: what the endpoint does by itself."""
    seed: int | None = None
    """Sent with every call, for endpoints that draw by it."""
    max_tokens: Count | None = None
    """Longest reply; null: 1024 (gate, experts), 2048 (fuser), 8 (judges)."""
    timeout_s: Positive = 120.0
    """Seconds after which a call is given up and made again."""
    family: str = ""
    """Who trained it, to see whether a judge prefers its own; empty: the first word of `model`."""
    grammar: bool = False
    """Whether it takes llama.cpp's field `grammar`, which holds gate and judges to the form that is asked for."""

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query:
            raise ValueError("holds credentials or a query: name an environment variable as key_env instead")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it as https://HOST/v1")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("keys and prompts would travel in the clear: use https (http is for this machine)")
        return url.rstrip("/")

    @property
    def kin(self) -> str:
        """Its family, stated or read from the model's name: `gpt` of `openai/gpt-4o`."""
        return self.family or re.split(r"[-_:.\d]", self.model.rpartition("/")[2])[0].lower() or self.model


@strict
class Expert(Endpoint):
    """An edge expert: what the market sells."""

    name: Name
    """As in the table."""
    about: str = ""
    """What the gate is told of it."""
    host_class: Literal["edge", "cloud", "device"] = "cloud"
    """Where it runs, as in the table of experts."""
    parameters: Positive | None = None
    """Number of weights, if known."""
    memory_gb: NonNegative = 0.0
    """Memory of its host that it occupies, gigabytes."""
    power_w: NonNegative = 0.0
    """Power of its host while it computes, watts; 0 for one whose price covers it."""


@strict
class Judge(Endpoint):
    """A model that scores answers from 0 to 10."""

    name: Name
    """As in the table's column `judge_NAME`."""


@strict
class Plan:
    """What is recorded; field names are the YAML keys."""

    prompts: str
    """JSONL or CSV with `id`, `category` and `text`; beside the plan, or in the working folder."""
    parts: Count = 1
    """Sub-prompts of a prompt, K."""
    replicas: Count = 1
    """Answers of each expert to each sub-prompt."""
    fusions: Index = 0
    """Assignments of a prompt that are fused and judged."""
    probes: Index = 20
    """Answers on which each judge's faults are looked for; 0: none."""
    anchors: str = ""
    """CSV with `prompt`, `part`, `expert` and the `score` (0 to 10) that a person gave; empty: none."""
    seed: Index = 0
    """Of the assignments and of what is probed."""
    format: Literal["csv", "parquet"] = "csv"
    """Of the quality table."""
    gate: Endpoint
    experts: tuple[Expert, ...]
    fuser: Endpoint | None = None
    judges: tuple[Judge, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        for field in ("experts", "judges"):
            names = [one.name for one in getattr(self, field)]
            if not names:
                raise ValueError(f"{field}: () name at least one")
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{field}: '{name}' is named twice: give each a name of its own")
        if self.fusions and self.fuser is None:
            raise ValueError(f"fusions: {self.fusions} need a fuser: add one, or set fusions to 0")
        if self.fusions and self.parts == 1:
            raise ValueError(f"fusions: {self.fusions} need parts to join: set parts to 2 or more, or fusions to 0")
        return self

    def endpoints(self) -> Iterator[tuple[str, Endpoint]]:
        """Every endpoint by its place in the plan: `gate`, `experts.alpha`, `fuser`, `judges.one`."""
        yield "gate", self.gate
        yield from ((f"experts.{expert.name}", expert) for expert in self.experts)
        if self.fuser is not None:
            yield "fuser", self.fuser
        yield from ((f"judges.{judge.name}", judge) for judge in self.judges)

    def keys(self, kinds: Collection[str] = ("gate", "experts", "fuser", "judges")) -> dict[str, str]:
        """The keys of the endpoints of these kinds, from the environment, by the variable's name.

        Raises:
            PlanError: if a variable that the plan names is not set.
        """
        found = {}
        for place, endpoint in self.endpoints():
            if endpoint.key_env and place.partition(".")[0] in kinds:
                found[endpoint.key_env] = os.environ.get(endpoint.key_env, "").strip()
                if not found[endpoint.key_env]:
                    raise PlanError(f"{place}.key_env: '{endpoint.key_env}' is not set in the environment: export it")
        return found

    def digest(self, prompts_sha256: str) -> str:
        """SHA-256 of all that decides what is asked; limits, prices and keys may change from run to run."""
        data = {**asdict(self), "prompts": prompts_sha256}  # type: ignore[call-overload]
        return hashlib.sha256(json.dumps(_without(data), sort_keys=True).encode()).hexdigest()


FREE = ("rpm", "tpm", "parallel", "timeout_s", "usd_in", "usd_out", "key_env", "family", "probes", "anchors", "format")
MODEL_FREE = ("host_class", "parameters", "memory_gb", "power_w")


def _without(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without(value) for name, value in data.items() if name not in (*FREE, *MODEL_FREE)}
    return [_without(value) for value in data] if isinstance(data, list | tuple) else data


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_plan(path: Path) -> Plan:
    """Read and validate a plan.

    Args:
        path: A YAML file. `prompts` and `anchors` become the files beside it, where there are some of those names.

    Raises:
        PlanError: naming the field, the value and the fix.
    """
    if not path.is_file():
        raise PlanError(f"plan: there is no file '{path}'")
    data = read_yaml(path, PlanError)
    if not isinstance(data, dict):
        raise PlanError(f"{path}: a plan is a mapping of fields, not {type(data).__name__}")
    try:
        plan = TypeAdapter(Plan).validate_python(data)
    except ValidationError as error:
        raise PlanError(f"{path}: {explain(error, _nearest)}") from None
    files = {name: getattr(plan, name) for name in ("prompts", "anchors")}
    beside: dict[str, Any] = {
        name: str(path.parent / file) for name, file in files.items() if (path.parent / file).is_file()
    }
    return replace(plan, **beside)


def _nearest(name: str) -> str:
    last = name.rpartition(".")[2]
    known = sorted({one.name for kind in (Plan, Expert, Judge) for one in fields(kind)})  # type: ignore[arg-type]
    return f"; {did_you_mean(last, known)}"
