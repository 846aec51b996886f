"""Metrics: evaluation as pure functions and torchmetrics objects."""
