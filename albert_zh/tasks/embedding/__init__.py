"""Sentence embeddings: vectors for comparing texts, trained on pairs, positives or raw text."""
