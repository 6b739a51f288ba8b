"""Keep RLlib's notices about itself off the terminal; errors still show."""

from __future__ import annotations

import logging
import os
import warnings


def before_import() -> None:
    """Settings that Ray reads when it is imported or started; usage statistics are off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module="gymnasium")


def after_import() -> None:
    """Raise the level of all of Ray's loggers, which set their own when they are imported."""
    for name in ["ray", *(name for name in logging.root.manager.loggerDict if name.startswith("ray."))]:
        logging.getLogger(name).setLevel(logging.ERROR)
