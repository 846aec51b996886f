"""What every datamodule shares: splits, loaders, sources, cache, randomness."""
