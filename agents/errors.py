"""What goes wrong before training or playing begins."""

from __future__ import annotations


class SetupError(ValueError):
    """A run cannot be set up. Names the setting, its value and the fix."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used. Names the path and the reason."""
