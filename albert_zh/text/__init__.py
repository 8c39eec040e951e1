"""Tokenization: converts text to token ids."""
