"""Federated training of edge experts: split data, shared features, personal experts, gates, and every bit they send.

The public names are those of `__init__.pyi`; each is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
