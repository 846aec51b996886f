"""Layers and functions: torch only, no Lightning."""
