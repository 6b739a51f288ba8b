"""Algorithms on RLlib's new API stack."""
