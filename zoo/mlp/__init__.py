"""Multi-layer perceptrons and where they began."""
