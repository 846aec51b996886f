"""Generative adversarial networks: two players, of which one draws and the other judges."""
