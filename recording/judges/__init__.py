"""Scores: the expectation over digits, what judges are worth, what fusions say of the composition rule."""
