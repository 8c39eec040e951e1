"""Checkpoints and model folders: finding, reading, matching, writing."""
