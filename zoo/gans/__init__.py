"""Generative adversarial networks, one technique per file."""
