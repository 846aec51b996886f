"""Classification: base system, pictures and tables."""
