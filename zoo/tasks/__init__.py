"""What a model learns: one room per kind of task, with its base system, its reports and its scores."""
