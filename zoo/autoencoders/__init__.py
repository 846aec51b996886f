"""Autoencoders: compress images to a short code and reconstruct them."""
