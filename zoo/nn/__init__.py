"""Layers, losses, cells and initialisation. Imports torch only; no I/O and no global state."""
