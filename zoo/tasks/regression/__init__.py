"""Regression and forecasting: the base system and its pictures."""
