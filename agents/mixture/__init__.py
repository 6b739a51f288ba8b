"""Mixtures of branches weighed by a router, and what they specialise in."""
