"""Slots: labels of spans of a text's characters, from dictionaries or annotators."""
