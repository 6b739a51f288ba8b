"""Heuristics, bounds, evaluation and the `edge-experts` command."""
