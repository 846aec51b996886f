"""Embedding: base system, scores of retrieval, and pictures of neighbours."""
