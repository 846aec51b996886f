"""Image-to-image translation: the base system, its pictures and its scores."""
