"""What the branches of a mixture specialise in: load, entropy, and what a branch tells of the input that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .routers import Routing, entropy, load

DEAD_SHARE = 0.1  # of an even load; a branch that carries less counts as dead


def labels_of(
    layout: Mapping[str, Any], observation: Tensor, actions: Tensor | None, each: int = 1
) -> dict[str, Tensor]:
    """What each row is about, by kind of label: (batch x each,) int, -1 where there is nothing to say.

    Args:
        layout: Of the observation, see `layout.layout_of`; that of a provider has no labels.
        observation: (batch, entries).
        actions: (batch, parts), the first part being the place; or none.
        each: Rows of an observation; where they are its tokens, each is about a place.
    """
    if layout["categories"] is None:
        return {}
    start, stop = layout["categories"]
    category = _which(observation[:, start:stop])
    modality = _which(torch.stack([observation[:, columns].sum(dim=-1) for columns in layout["modalities"]], dim=-1))
    found = {"modality": modality, "category": category}
    if each > 1:
        found = {name: label.repeat_interleave(each) for name, label in found.items()}
        place = torch.arange(each).repeat(len(observation))
        return {**found, "expert": torch.where(place < len(layout["names"]["expert"]), place, -1)}
    if actions is not None:
        place = actions.reshape(len(actions), -1)[:, 0].long()
        found["expert"] = torch.where(place < len(layout["names"]["expert"]), place, -1)  # the last choice is to wait
    return found


def _which(flags: Tensor) -> Tensor:
    return torch.where(flags.sum(dim=-1) > 0, flags.argmax(dim=-1), -1)


def joint_shares(weights: Tensor, label: Tensor, count: int) -> Tensor:
    """Share of the (weighted) rows that has a label and goes to a branch: (labels, branches), sum 1.

    Args:
        weights: (batch, branches) of the router.
        label: (batch,), -1 for rows without one.
        count: Number of labels.
    """
    rows = label >= 0
    if not bool(rows.any()):
        return weights.new_zeros(count, weights.shape[-1])
    shares = weights[rows] / weights[rows].sum(dim=-1, keepdim=True).clamp(min=1e-9)
    table = weights.new_zeros(count, weights.shape[-1]).index_add(0, label[rows], shares)
    return table / table.sum()


def mutual_information(joint: Tensor) -> Tensor:
    """Of the row and the column of a table of joint probabilities, nats; 0 if they tell nothing of each other."""
    apart = joint.sum(dim=0, keepdim=True) * joint.sum(dim=1, keepdim=True)
    return (torch.xlogy(joint, joint) - torch.xlogy(joint, apart)).sum().clamp(min=0.0)


def routing_report(routing: Routing) -> dict[str, Tensor]:
    """Entropy of the router, load of each branch, and how many are dead."""
    carried = load(routing.weights)
    return {
        "router_entropy": entropy(routing.probabilities).detach(),
        "dead_branches": (carried < DEAD_SHARE / len(carried)).sum(),
        **{f"branch_load_{i}": share for i, share in enumerate(carried)},
    }


def specialisation_report(
    layout: Mapping[str, Any], weights: Tensor, labels: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Mutual information between branch and each kind of label that has more than one value, nats."""
    return {
        f"mutual_information_{kind}": mutual_information(
            joint_shares(weights.detach(), label, len(layout["names"][kind]))
        )
        for kind, label in labels.items()
        if len(layout["names"][kind]) > 1
    }


class Specialisation:
    """Gathers over many batches how a user policy's rows were routed.

    Args:
        layout: Of the user's observation.
    """

    def __init__(self, layout: Mapping[str, Any]) -> None:
        self.layout = layout
        self._rows: list[tuple[Routing, dict[str, Tensor]]] = []

    def note(self, routing: Routing, observation: Tensor, actions: Tensor) -> None:
        """Add a batch: (batch x each, branches) each, (batch, entries) and (batch, parts)."""
        self._rows.append((routing, labels_of(self.layout, observation, actions, routing.each)))

    def report(self) -> dict[str, Any]:
        """Everything as plain data: entropy, loads, dead branches, mutual information, and shares by label."""
        routed = [routing for routing, _ in self._rows]
        routing = Routing(
            torch.cat([r.weights for r in routed]),
            torch.cat([r.probabilities for r in routed]),
            torch.cat([r.scores for r in routed]),
            routed[0].each,
        )
        labels = {kind: torch.cat([labels[kind] for _, labels in self._rows]) for kind in self._rows[0][1]}
        report = routing_report(routing)
        names = self.layout["names"]
        return {
            "router_entropy_nats": float(report["router_entropy"]),
            "dead_branches": int(report["dead_branches"]),
            "load": load(routing.weights).tolist(),
            "mutual_information_nats": {
                key.removeprefix("mutual_information_"): float(value)
                for key, value in specialisation_report(self.layout, routing.weights, labels).items()
            },
            "label_entropy_nats": {
                kind: _entropy_of(label, len(names[kind])) for kind, label in labels.items() if len(names[kind]) > 1
            },
            "shares": {
                kind: {
                    name: row
                    for name, row in zip(
                        names[kind], joint_shares(routing.weights, label, len(names[kind])).tolist(), strict=True
                    )
                }
                for kind, label in labels.items()
            },
        }


def _entropy_of(label: Tensor, count: int) -> float:
    shares = torch.bincount(label[label >= 0], minlength=count).double()
    shares = shares / shares.sum().clamp(min=1.0)
    return float(-torch.xlogy(shares, shares).sum())


def heat_map(report: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Rows of the picture, by name: share of each branch in what a modality, category or expert gets."""
    names, rows = [], []
    for kind, table in report["shares"].items():
        for name, shares in table.items():
            if sum(shares) > 0:
                names.append(f"{kind}: {name}")
                rows.append(np.array(shares) / sum(shares))
    return names, np.array(rows)
