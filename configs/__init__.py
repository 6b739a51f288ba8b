"""Scenarios, training configurations and reference scores."""
