"""Worlds as PettingZoo, Gymnasium and array environments."""
