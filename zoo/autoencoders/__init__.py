"""Autoencoders: images to a short code and back."""
