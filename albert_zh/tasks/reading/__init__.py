"""Extractive reading comprehension: questions answered by a span of a context."""
