"""Image-to-image translation: base system, pictures and scores."""
