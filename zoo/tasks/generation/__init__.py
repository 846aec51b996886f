"""Generation: scores of generated samples."""
