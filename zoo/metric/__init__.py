"""Metric learning: embeddings in which the distance between samples tells whether they are of one class."""
