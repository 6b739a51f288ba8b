"""Policies that need no training, and the reference."""
