"""Measure policies: scores, fairness, exploitability, cross-play."""
