"""Trained experts as a market plays them: a quality table, the machines behind it, and a scenario.

A row is what one expert says of one test image that one client asks about. The images of a client are drawn by its own
mix of classes, and their category is the client, so a table says who asks and never what is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_experts.envs import Scenario, load_scenario
from edge_experts.envs.io.atomic import replacing, write_text
from edge_experts.envs.sim.params import load_params
from edge_experts.envs.tables.build import write_table

from .data import load_data
from .messages.traffic import NUMBER_BITS
from .plan import Plan
from .random import stream
from .training.clients import Clients, gather
from .training.features import features
from .training.methods import Lab
from .training.networks import Weights, logits

SCENARIO = "edge_experts/specialists-v1"
"""The market that a recorded table is put into."""
GATE = "fedgate"
LOGITS = 16.0
"""Largest size of a gate's logit: the table holds `1/2 + logit / (2 LOGITS)`, which lies in [0, 1]."""
TEMPERATURE = 1 / (2 * LOGITS)
"""`requests.temperature` at which the softmax of the recorded gate is that of the logits."""
PRICE_USD = 2e-4
"""Price of an answer (modelled: about what an answer of the text experts costs, as nobody sells these)."""
Row = dict[str, Any]


def record_table(plan: Plan, folder: Path, images: int, noted: Row) -> Scenario:
    """Train the experts and FedGate's gates of seed 0, and write what they say of test images.

    Args:
        plan: How they are trained.
        folder: A folder to make: `table.csv` and `experts.csv` with sidecars, and `scenario.yaml`.
        images: Test images of each client; fewer where its classes have fewer.
        noted: Provenance, for the sidecar.

    Returns:
        The scenario that was written.

    Raises:
        ValueError: if the plan does not fit the data, or the folder exists.
    """
    if folder.exists():
        raise ValueError(f"--table: '{folder}' exists; take another folder")
    lab = Lab(gather(plan, load_data(plan.data), 0))
    rows = table_rows(lab, images)
    with replacing(folder) as part:
        part.mkdir()
        write_table(part / "table.csv", rows, _about(lab.clients, noted))
        about = {"title": "experts of federated clients", "status": "each value has a source column beside it"}
        write_table(part / "experts.csv", expert_rows(plan, lab.clients.classes), about)
        scenario = scenario_of(plan, folder.resolve().name)
        write_text(part / "scenario.yaml", scenario.to_yaml())
        load_params(load_scenario(part / "scenario.yaml"))
    return scenario


def table_rows(lab: Lab, images: int) -> list[Row]:
    """A row for each client, image and expert.

    Raises:
        ValueError: if a gate's logit is too large for the table.
    """
    clients, outcome = lab.clients, lab.run(GATE)
    base, answers = lab.extractor[0], lab.experts[1]
    inputs = features(base, clients.test_images)
    rows = []
    for k, name in enumerate(names(clients.plan)):
        chosen = asked_by(clients, k, images)
        readings = gate_readings(gate_of(outcome.weights, k), inputs[chosen])
        right = answers[:, chosen, clients.test_labels[chosen]]
        correct = answers[:, chosen].argmax(dim=2).numpy() == clients.test_labels[chosen]
        for i, image in enumerate(chosen):
            rows += [
                {
                    "prompt": int(image),
                    "category": name,
                    "expert": expert,
                    "quality": round(float(right[e, i]), 7),
                    "output_bits": NUMBER_BITS * clients.classes,
                    "work_units": clients.plan.training.hidden * clients.classes,
                    "n_ratings": 1,
                    "feature_bits": NUMBER_BITS * clients.plan.training.hidden,
                    "correct": int(correct[e, i]),
                    "gate": round(float(readings[i, e]), 8),
                }
                for e, expert in enumerate(names(clients.plan))
            ]
    return rows


def asked_by(clients: Clients, client: int, images: int) -> NDArray[np.int64]:
    """Places of the test images that a client asks about, drawn by its mix of classes; ascending."""
    weights = clients.mixes[client, clients.test_labels]
    count = min(images, int((weights > 0).sum()))
    drawn = stream(clients.seed, "asked", client).choice(len(weights), count, replace=False, p=weights / weights.sum())
    return np.asarray(np.sort(drawn))


def gate_of(weights: dict[str, Tensor], client: int) -> Weights:
    """A client's gate among the saved weights."""
    return [weights[f"gate{client}.{i}"] for i in range(2)]


def gate_readings(gate: Weights, inputs: Tensor) -> Tensor:
    """(n, experts) logits of a gate, moved to [0, 1].

    Raises:
        ValueError: if one of them is too large.
    """
    found = logits([tensor.double() for tensor in gate], inputs.double())
    if float(found.abs().max()) > LOGITS:
        raise ValueError(
            f"--table: a logit of the gate is {float(found.abs().max()):.1f}, and the table holds up to {LOGITS:g}; "
            "lower training.gate_rate or rounds.gate"
        )
    return torch.add(0.5, found, alpha=TEMPERATURE)


def names(plan: Plan) -> list[str]:
    """Names of the clients and of their experts, in order also when sorted."""
    return [f"client{k:0{len(str(plan.clients - 1))}d}" for k in range(plan.clients)]


def expert_rows(plan: Plan, classes: int) -> list[Row]:
    """The experts' machines: linear heads on what the plan's clients compute with."""
    hidden, hardware = plan.training.hidden, plan.hardware
    answer = hidden * classes
    values: Row = {
        "modality": "image",
        "unit": "multiply-accumulate",
        "host_class": "edge",
        "reference_device": "a client of the federation",
        "parameters": answer + classes,
        "parameters_source": f"a linear head of {hidden} features and {classes} classes",
        "memory_gb": (answer + classes) * NUMBER_BITS / 8e9,
        "memory_gb_source": "its weights, 32 bits each",
        "seconds_per_unit": max(1e-9, 1 / hardware.macs_per_s),
        "seconds_per_unit_source": "modelled: hardware.macs_per_s of the plan",
        "power_w": hardware.power_w,
        "power_w_source": "modelled: hardware.power_w of the plan",
        "price_usd_per_unit": PRICE_USD / answer,
        "price_usd_per_unit_source": f"modelled: {PRICE_USD} USD an answer",
    }
    return [{"expert": name, **values} for name in names(plan)]


def scenario_of(plan: Plan, name: str) -> Scenario:
    """`specialists-v1` with the tables that lie beside it."""
    slug = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "table"
    changes = {
        "id": f"trained/{slug}-v0",
        "title": f"{plan.clients} experts trained federatedly",
        "about": "",
        "experts": names(plan),
        "tables.quality": "table.csv",
        "tables.experts": "experts.csv",
        "requests.subtasks": plan.top_k,
        "requests.dispatch": "parallel" if plan.top_k > 1 else "sequential",
        "devices.count": plan.clients,
        "providers.count": plan.clients,
    }
    return load_scenario(SCENARIO).replace(changes)


def _about(clients: Clients, noted: Row) -> Row:
    recorded = ("quality", "output_bits", "work_units", "n_ratings", "feature_bits", "correct", "gate")
    return {
        "modality": "image",
        "scale": "probability of the right class",
        "source": "edge-experts federate --table",
        "status": dict.fromkeys(recorded, "recorded"),
        "gate": f"1/2 + logit / {2 * LOGITS:g}; its softmax is that of the logits at a temperature of {TEMPERATURE:g}",
        "plan": clients.plan.to_dict(),
        "seed": clients.seed,
        "mixes": [[round(float(share), 4) for share in mix] for mix in clients.mixes],
        **noted,
    }
