"""Measure how fast environments and training run."""
