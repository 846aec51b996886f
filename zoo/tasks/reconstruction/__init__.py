"""Reconstruction: base system of autoencoders, pictures and scores."""
