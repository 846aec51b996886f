"""Sequences: reports of hidden states, of scores by length, and of generated text."""
