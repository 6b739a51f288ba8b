"""Policies that need no training, and upper bounds."""
