"""Pre-training objectives, a module each."""
