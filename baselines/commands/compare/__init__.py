"""Algorithms against algorithms."""
