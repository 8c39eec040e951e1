"""Raw text to pre-training records."""
