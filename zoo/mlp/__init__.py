"""Multi-layer perceptrons and the perceptron."""
