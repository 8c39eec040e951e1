"""Trains models on pre-training records."""
