"""Slots: what dictionaries or annotators know of the characters of a text."""
