"""Generative adversarial networks: the base system with its rhythm of updates, and pictures of the training."""
