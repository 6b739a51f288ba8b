"""Federated networked mixture of experts (arXiv 2511.01743), beside `edge-experts federate`."""

from __future__ import annotations

import json
from pathlib import Path

from edge_experts.federated.report.page import difference

from .comparison import AGREES, DIFFERS, OPEN, Comparison, Finding

SPLITS = {"iid": "IID", "dirichlet03": "Dirichlet 0.3", "dirichlet01": "Dirichlet 0.1"}


def compare(results: Path, episodes: int) -> Comparison:
    """The paper beside the gates trained here, by split."""
    findings = []
    for folder, title in SPLITS.items():
        rows = json.loads((results / "federated" / folder / "results.json").read_text("utf-8"))
        for kind, said in (("personal", "above"), ("global", "above, most where clients differ")):
            mean, half = difference(rows, "fedgate", "fedavg_gate", kind)
            verdict = AGREES if mean - half > 0 else DIFFERS if mean + half < 0 else OPEN
            findings.append(
                Finding(
                    f"{title}: FedGate less a FedAvg gate, {kind} accuracy", said, f"{mean:+.3f} ± {half:.3f}", verdict
                )
            )
    rows = json.loads((results / "federated" / "dirichlet01" / "results.json").read_text("utf-8"))
    for other in ("rangate", "rollgate"):
        mean, half = difference(rows, "fedgate", other, "personal")
        verdict = AGREES if mean - half > 0 else DIFFERS if mean + half < 0 else OPEN
        findings.append(
            Finding(f"Dirichlet 0.1: FedGate less {other}, personal", "above", f"{mean:+.3f} ± {half:.3f}", verdict)
        )
    return Comparison(
        "Towards efficient federated learning of networked mixture-of-experts for mobile edge computing",
        "Gao et al., arXiv 2511.01743",
        "The method and the claims could be read, the figures (CIFAR-10) could not; here the images are 5,000 MNIST "
        "digits, eight clients, five seeds.",
        findings,
        "A gate that keeps a bias of its own on every client serves that client's own classes better the more "
        "clients differ, and everybody else's worse: "
        "the claim holds for personal accuracy and reverses for global accuracy.",
    )
