"""Shared parts of all datamodules: base class, splits, loaders, file sources, cache, randomness."""
