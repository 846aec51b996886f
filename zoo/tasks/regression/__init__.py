"""Regression and forecasting: base system and pictures."""
