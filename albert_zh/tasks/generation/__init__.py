"""Texts from texts: titles, replies, sequence to sequence."""
