"""How a run is trained: optimizers and schedules, checkpoints, resumption, tracking, parallel plans."""
