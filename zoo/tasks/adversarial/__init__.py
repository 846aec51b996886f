"""Generative adversarial networks: the rhythm of two networks, and what a run of them shows."""
