"""Creates pre-training records from raw text."""
