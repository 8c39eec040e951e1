"""Code shared by pre-training and fine-tuning: engine, training loop, hooks, run folder."""
