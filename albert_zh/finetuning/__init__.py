"""Trains, evaluates and predicts with a task's data."""
