"""Search in a corpus, its indexes, and what search prepares for training."""
