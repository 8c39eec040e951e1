"""Sentence embeddings: vectors trained to be compared, by pairs, positives or raw text."""
