"""What watches or steers a run."""
