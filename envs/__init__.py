"""Environments: importing this package registers the `edge_experts/...` ids with PettingZoo and Gymnasium.

The public names are those of `__init__.pyi`; each is loaded when it is first used, as listing environments does not
need the kernel's compiler.
"""

import lazy_loader

from .registry import register_all

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_all()
