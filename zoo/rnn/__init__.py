"""Recurrent networks: sequences of words, characters or numbers."""
