"""What every run gets: optimizers and schedules, checkpoints, resumption, tracking, parallel strategies."""
