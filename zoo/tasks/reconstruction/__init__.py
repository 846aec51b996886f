"""Autoencoders: the base system, its pictures and its scores."""
