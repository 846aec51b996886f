"""Evaluation shared by families."""
