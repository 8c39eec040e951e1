"""Configs, encoders, heads, optimizers, checkpoints."""
