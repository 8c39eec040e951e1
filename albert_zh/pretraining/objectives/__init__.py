"""Pre-training objectives, one module per objective."""
