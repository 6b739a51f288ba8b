"""What goes wrong before training or playing begins, and on the way."""

from __future__ import annotations


class SetupError(ValueError):
    """A run cannot be set up. Names the setting, its value and the fix."""


class TrainingError(RuntimeError):
    """A run cannot go on. Says why, and what is left of it."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used. Names the path and the reason."""
