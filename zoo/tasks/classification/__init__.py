"""Classification: the base system, its pictures and its tables."""
