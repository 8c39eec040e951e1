"""Pre-training records to checkpoints."""
